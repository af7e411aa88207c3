package main

/*
#include <stdint.h>
// More thread-local data than g, so that g is not at the end of the block.
static __thread int64_t initialised[5] = {1, 2, 3, 4, 5};
static __thread int64_t zeroed[9];
static int64_t touch(void) { return initialised[2] + ++zeroed[3]; }
*/
import "C"

func init() {
	if C.touch() != 4 {
		panic("thread-local data of C is broken")
	}
}
