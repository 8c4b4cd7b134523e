/*
 * Go's threads take SIGCHLD, SIGPROF and some others even where they were started with all signals blocked: runtime.sigtable marks these to be
 * unblocked. A host that waits for its children by signalfd would miss some, and its handlers would run on stacks of Go's. So the marks are taken off
 * before Go starts. The table has no name for C; it is found by what is in it. Should it not be found, Go does as it always does.
 */
#define _GNU_SOURCE
#include <link.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "signals.h"

/* A row of runtime.sigtable, one for each number of a signal (runtime/sigtab_linux_generic.go). */
struct row {
	int32_t flags;
	const char *name;
	ptrdiff_t length;
};
#define UNBLOCK 128 /* _SigUnblock */
#define ROWS 65

/* What the table begins with, and the rows that lose the mark. 34 is SIGRTMIN; Go knows it as musl's. */
static const char beginning[] = "SIGHUP: terminal line hangup";
static const int marked[] = { SIGSTKFLT, SIGCHLD, SIGPROF, 34 };

/* Where this library is in memory. */
struct library {
	uintptr_t start, end;
	uintptr_t data, data_end;
};

static int find_library(struct dl_phdr_info *info, size_t size, void *found)
{
	struct library *l = found, here = { UINTPTR_MAX, 0, 0, 0 };
	int i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD)
			continue;
		if (start < here.start)
			here.start = start;
		if (start + p->p_memsz > here.end)
			here.end = start + p->p_memsz;
		if (p->p_flags & PF_W) {
			here.data = start;
			here.data_end = start + p->p_filesz;
		}
	}
	if ((uintptr_t)marked < here.start || (uintptr_t)marked >= here.end)
		return 0;
	*l = here;
	return 1;
}

/* What looks through memory that has other things in it, which AddressSanitizer would not have touched. */
#define LOOKS __attribute__((no_sanitize_address))

LOOKS static int begins_with(const struct library *l, const struct row *row, const char *text)
{
	uintptr_t name = (uintptr_t)row->name;
	ptrdiff_t length = (ptrdiff_t)strlen(text);

	return row->length >= length && row->length < 100 && name >= l->start && name < l->end - 100 && memcmp(row->name, text, (size_t)length) == 0;
}

LOOKS static int is_table(const struct library *l, const struct row *table)
{
	return begins_with(l, &table[SIGHUP], beginning) && begins_with(l, &table[SIGCHLD], "SIGCHLD") && begins_with(l, &table[SIGPROF], "SIGPROF");
}

LOOKS void tpmkey_unmark_signals(void)
{
	struct library l;
	uintptr_t at;
	size_t i;

	if (!dl_iterate_phdr(find_library, &l))
		return;
	for (at = l.data_end - ROWS * sizeof(struct row); at >= l.data; at -= sizeof(void *)) /* the end is nearer */
		if (is_table(&l, (const struct row *)at))
			break;
	for (i = 0; at >= l.data && i < sizeof marked / sizeof marked[0]; i++)
		((struct row *)at)[marked[i]].flags &= ~UNBLOCK;
}
