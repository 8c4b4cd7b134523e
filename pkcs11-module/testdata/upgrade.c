/*
 * A host that goes on while its module and the helper are upgraded. The steps are run one after the other.
 *
 *   upgrade MODULE HELPER NEWMODULE NEWHELPER ROOT STEP...
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static const char *module, *helper, *new_module, *new_helper, *root;

static void initialize(void)
{
	CHECK(CKR_OK, f->C_Initialize(NULL));
	use(1);
}

/* As package managers do it: the old files live on under no name. */
static void replace(void)
{
	EXPECT(rename(new_module, module) == 0 && rename(new_helper, helper) == 0, "cannot replace %s", helper);
}

/* As nobody should do it: the file is the same, and what is in it is not. */
static void overwrite(void)
{
	int from = open(new_helper, O_RDONLY), to = open(helper, O_WRONLY | O_TRUNC);
	char block[1 << 16];
	ssize_t n;

	EXPECT(from >= 0 && to >= 0, "cannot overwrite %s", helper);
	while ((n = read(from, block, sizeof block)) > 0)
		EXPECT(write(to, block, (size_t)n) == n, "cannot write %s", helper);
	close(from);
	close(to);
}

static void take_away(void)
{
	EXPECT(unlink(module) == 0 && unlink(helper) == 0, "cannot remove %s", helper);
}

static void change_root(void)
{
	EXPECT(chroot(root) == 0 && chdir("/") == 0, "cannot chroot");
}

static void close_from(void)
{
	int fd;

	for (fd = 3; fd < 1024; fd++)
		close(fd);
}

static void works(void)
{
	CHECK(CKR_OK, f->C_Initialize(NULL));
	use(2);
	CHECK(CKR_OK, f->C_Finalize(NULL));
}

static void fails(void)
{
	int i;

	for (i = 0; i < 3; i++) {
		CHECK(CKR_FUNCTION_FAILED, f->C_Initialize(NULL));
		CHECK(CKR_CRYPTOKI_NOT_INITIALIZED, f->C_Finalize(NULL));
	}
}

static void in_child(void (*run)(void))
{
	int status = -1;

	if (fork() == 0) {
		alarm(60);
		run();
		_exit(failed);
	}
	EXPECT(wait(&status) > 0 && status == 0, "the child ended with status %x", status);
	use(1);
}

static void child_works(void) { in_child(works); }
static void child_fails(void) { in_child(fails); }

static const struct {
	const char *name;
	void (*run)(void);
} steps[] = {
	{ "initialize", initialize }, { "replace", replace }, { "overwrite", overwrite }, { "remove", take_away }, { "chroot", change_root },
	{ "closefrom", close_from }, { "works", child_works }, { "fails", child_fails },
};

static void run_step(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof steps / sizeof steps[0]; i++)
		if (!strcmp(name, steps[i].name)) {
			steps[i].run();
			return;
		}
	EXPECT(0, "no step %s", name);
}

int main(int argc, char **argv)
{
	int i;

	if (argc < 7)
		return 2;
	module = argv[1];
	helper = argv[2];
	new_module = argv[3];
	new_helper = argv[4];
	root = argv[5];
	load(module);
	for (i = 6; i < argc; i++)
		run_step(argv[i]);
	CHECK(CKR_OK, f->C_Finalize(NULL));
	return failed;
}
