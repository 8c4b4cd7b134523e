/* System calls that a host denies itself. */
#ifndef TPMKEY_DENY_H
#define TPMKEY_DENY_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Denies system calls to all threads, by EPERM. A mask that is not 0: only where the first argument has one of its bits. */
static void deny(const int *numbers, size_t count, unsigned mask)
{
	struct sock_filter program[64];
	struct sock_fprog filter = { 0, program };
	size_t n = 0, i;

	program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (i = 0; i < count; i++) {
		program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, numbers[i], 0, mask ? 4 : 1);
		if (mask) {
			program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]));
			program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, mask, 0, 1);
		}
		program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
		if (mask)
			program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	}
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter.len = n;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter) != 0) {
		perror("seccomp");
		exit(3);
	}
}

#define DENY(...)                                                                                                      \
	do {                                                                                                           \
		static const int numbers[] = { __VA_ARGS__ };                                                          \
		deny(numbers, sizeof numbers / sizeof numbers[0], 0);                                                  \
	} while (0)

static void no_threads(void)
{
	static const int clone_number[] = { SYS_clone };

	DENY(SYS_clone3);
	deny(clone_number, 1, CLONE_THREAD);
}

#endif
