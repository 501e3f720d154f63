/* The two vector operations of the sparse kernels: whether any of 16 scores, or of 16 bounds
 * x w + y v, reaches the bar. Compilers leave these loops scalar, so they are written with vector
 * types where there are any. And bringing a line near that will be written. */
#ifndef UNITDOT_SPARSE_H
#define UNITDOT_SPARSE_H
#if defined(__GNUC__)
#define prefetch_write(address) __builtin_prefetch(address, 1)
typedef float four __attribute__((vector_size(16), aligned(4), may_alias));
typedef int four_bits __attribute__((vector_size(16)));
typedef long long two_bits __attribute__((vector_size(16)));
static inline int any_bit(four_bits m) {
    two_bits t = (two_bits) m;
    return (t[0] | t[1]) != 0;
}
static inline int scores_reach(const float* s, float bar) {
    const four* v = (const four*) s;
    four b = {bar, bar, bar, bar};
    return any_bit((v[0] >= b) | (v[1] >= b) | (v[2] >= b) | (v[3] >= b));
}
static inline int bounds_reach(float x, const float* w, float y, const float* v, float bar) {
    const four *p = (const four*) w, *q = (const four*) v;
    four a = {x, x, x, x}, c = {y, y, y, y}, b = {bar, bar, bar, bar};
    return any_bit((a * p[0] + c * q[0] >= b) | (a * p[1] + c * q[1] >= b)
                   | (a * p[2] + c * q[2] >= b) | (a * p[3] + c * q[3] >= b));
}
#else
#define prefetch_write(address) ((void) (address))
static int scores_reach(const float* s, float bar) {
    int k, any = 0;
    for (k = 0; k < 16; k++) any |= s[k] >= bar;
    return any;
}
static int bounds_reach(float x, const float* w, float y, const float* v, float bar) {
    int k, any = 0;
    for (k = 0; k < 16; k++) any |= x * w[k] + y * v[k] >= bar;
    return any;
}
#endif
#endif
