/* Times and their median, in nanoseconds. */
#ifndef TPMKEY_TIMING_H
#define TPMKEY_TIMING_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static inline int64_t clock_of(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t now(void) { return clock_of(CLOCK_MONOTONIC); }

static inline int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* Sorts the times. */
static inline int64_t median(int64_t *times, size_t count)
{
	qsort(times, count, sizeof *times, compare);
	return times[count / 2];
}

#endif
