/* Go and the signals of its host. */
#ifndef TPMKEY_SIGNALS_H
#define TPMKEY_SIGNALS_H

#include <signal.h>

void tpmkey_block_signals(sigset_t *before);
void tpmkey_take_handlers(void);
void tpmkey_give_handlers_back(void);

/* sigtable.c, before Go's start. */
void tpmkey_unmark_signals(void);

/* Both around Go's start, with NSIG handlers. */
void tpmkey_save_handlers(struct sigaction *handlers);
void tpmkey_restore_handlers(const struct sigaction *handlers);

void tpmkey_signals_before_fork(void);
void tpmkey_signals_after_fork_in_parent(void);
void tpmkey_signals_after_fork_in_child(void);

#endif
