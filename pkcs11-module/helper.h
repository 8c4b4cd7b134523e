/*
 * The helper: the core in a process of its own, which answers the same messages over a socket.
 */
#ifndef TPMKEY_HELPER_H
#define TPMKEY_HELPER_H

#include <stddef.h>
#include <sys/types.h>

/* A descriptor of ours, and how to know it again: hosts close descriptors that they do not know, and use their numbers for something else. */
struct ours {
	int fd; /* -1: none */
	dev_t device;
	ino_t inode;
};

/* spawn.c */
void tpmkey_find_helper(void);
int tpmkey_spawn_helper(struct ours *control);

/* ours.c */
int tpmkey_own(int fd, struct ours *o);
int tpmkey_is_ours(const struct ours *o);
void tpmkey_give_up(struct ours *o);

/* helper.c. Any number of threads may call these, but for the three around fork. */
CK_RV tpmkey_helper_start(void);
CK_RV tpmkey_helper_call(const void *request, size_t size, void **response, size_t *response_size);
void tpmkey_helper_end(void);
int tpmkey_helper_runs(void);
void tpmkey_helper_before_fork(void);
void tpmkey_helper_after_fork_in_parent(void);
void tpmkey_helper_after_fork_in_child(void);

#endif
