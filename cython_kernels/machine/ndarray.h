/* The head of NumPy's array object, which NumPy documents and keeps from version to version
 * (PyArrayObject): read without its headers, so that none is needed to build. Whether it is as it
 * stands here is for small.pyx to see, before it relies on it. */
#ifndef UNITDOT_NDARRAY_H
#define UNITDOT_NDARRAY_H
#include <Python.h>

typedef struct {
    PyObject_HEAD
    char *data;
    int nd;
    Py_ssize_t *dimensions;
    Py_ssize_t *strides;
    PyObject *base;
    PyObject *descr;
    int flags;
} Head;
#endif
