/*
 * Loads a library and prints what that started: the threads of this process, and
 * how many signals have got a handler.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static int threads(void)
{
	char line[256];
	int n = -1;
	FILE *status = fopen("/proc/self/status", "r");

	while (status && fgets(line, sizeof line, status))
		sscanf(line, "Threads: %d", &n);
	return n;
}

static int handlers(void)
{
	struct sigaction action;
	int n = 0;

	for (int number = 1; number < NSIG; number++)
		if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)
			n++;
	return n;
}

int main(int argc, char **argv)
{
	int before = handlers();

	if (argc != 2 || !dlopen(argv[1], RTLD_NOW)) {
		fprintf(stderr, "dlopen: %s\n", argc == 2 ? dlerror() : "usage: dlopen FILE");
		return 1;
	}
	printf("%d %d\n", threads(), handlers() - before);
	return 0;
}
