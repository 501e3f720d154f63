/* A call of a kernel: where its rows and its results lie. small.pyx and stack.pxi fill it in,
 * direct.pxi reads it. Strides are in bytes. */
#ifndef UNITDOT_CALL_H
#define UNITDOT_CALL_H
#include <stddef.h>

typedef struct {
    const char *data;
    ptrdiff_t rows, row_stride, feature_stride, itemsize;
    int kind; /* of the elements: source.pxi */
} Side;

typedef struct {
    Side X, Y;
    ptrdiff_t features;
    char *out;
    ptrdiff_t out_row_stride, out_column_stride, out_itemsize;
    int paired;   /* row i with row i, to out[0, i] */
    int same;     /* Y is X */
    int distance; /* 1 minus the similarity */
    double zero_inverse; /* 1 / the norm of a zero row: 0, or NaN */
} Call;
#endif
