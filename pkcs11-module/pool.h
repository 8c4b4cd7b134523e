/* Threads that are there before somebody wants them. */
#ifndef TPMKEY_POOL_H
#define TPMKEY_POOL_H

#include <pthread.h>

int tpmkey_fill_pool(void);
int tpmkey_take_thread(pthread_t *thread, void *(*run)(void *), void *argument);

#endif
