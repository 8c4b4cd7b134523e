/* Threads for Go, apart from the host's. */
#ifndef TPMKEY_WORKERS_H
#define TPMKEY_WORKERS_H

#include <stddef.h>

#include "front.h"

int tpmkey_start_workers(void (*go)(void));
CK_RV tpmkey_work(const void *request, size_t size, void **response, size_t *response_size);
void tpmkey_work_at_exit(const void *request, size_t size, int seconds);

#endif
