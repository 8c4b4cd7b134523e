/* What hosts complain by. The CK_RV is that of the headers that they use. */
#ifndef TPMKEY_CHECK_H
#define TPMKEY_CHECK_H

#include <stdio.h>

static int failed;

#define CHECK(want, call)                                                                                              \
	do {                                                                                                           \
		CK_RV rv_ = (call);                                                                                    \
		if (rv_ != (want)) {                                                                                   \
			fprintf(stderr, "%s: 0x%lx, want 0x%lx\n", #call, rv_, (CK_RV)(want));                         \
			failed = 1;                                                                                    \
		}                                                                                                      \
	} while (0)

/* Complains like printf when the condition does not hold. */
#define EXPECT(condition, ...)                                                                                         \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, __VA_ARGS__);                                                                  \
			fputc('\n', stderr);                                                                           \
			failed = 1;                                                                                    \
		}                                                                                                      \
	} while (0)

#endif
