#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "front.h"
#include "helper.h"

/* The first number that is not one of the standard descriptors, which a host may have closed and programs take for their own. */
#define FIRST_FREE 3

/* Takes over a descriptor, whatever happens. */
int tpmkey_own(int fd, struct ours *o)
{
	struct stat st;
	int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE);

	o->fd = -1;
	if (fd >= 0)
		close(fd);
	if (moved < 0)
		return -1;
	if (fstat(moved, &st) != 0) {
		close(moved);
		return -1;
	}
	o->fd = moved;
	o->device = st.st_dev;
	o->inode = st.st_ino;
	return 0;
}

int tpmkey_is_ours(const struct ours *o)
{
	struct stat st;

	return o->fd >= 0 && fstat(o->fd, &st) == 0 && st.st_dev == o->device && st.st_ino == o->inode;
}

void tpmkey_give_up(struct ours *o)
{
	if (tpmkey_is_ours(o))
		close(o->fd);
	o->fd = -1;
}
