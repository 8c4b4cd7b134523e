/*
 * Sends ready-made commands to a TPM and nothing else. The argument says where it
 * is: unix:PATH, a socket with raw TPM framing, or what tpm2-tss's loader of TCTIs
 * takes. Each line "N COMMAND" of standard input, the command in hexadecimal, is sent
 * N times; the answer is a line "MEDIAN RESPONSE": the median time in nanoseconds and
 * the last response in hexadecimal. Any failure ends the program.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <tss2/tss2_tctildr.h>

#include "timing.h"

enum { MOST = 4096, HEADER = 10 };

static TSS2_TCTI_CONTEXT *tcti; /* NULL: a socket */
static int sock;

static void die(const char *what, unsigned long code)
{
	fprintf(stderr, "client: %s: %#lx\n", what, code);
	exit(1);
}

static uint32_t number(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}

static void open_tpm(const char *where)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	TSS2_RC rc;

	if (strncmp(where, "unix:", 5) != 0) {
		if ((rc = Tss2_TctiLdr_Initialize(where, &tcti)) != 0)
			die(where, rc);
		return;
	}
	strncpy(address.sun_path, where + 5, sizeof address.sun_path - 1);
	sock = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(sock, (struct sockaddr *)&address, sizeof address) != 0)
		die(where, 0);
}

static size_t exchange_socket(const uint8_t *command, size_t size, uint8_t *response)
{
	size_t have = 0;
	ssize_t n;

	if (write(sock, command, size) != (ssize_t)size)
		die("write", 0);
	while (have < HEADER || have < number(response + 2)) {
		if ((n = read(sock, response + have, MOST - have)) <= 0)
			die("read", have);
		have += n;
	}
	return have;
}

static size_t exchange(const uint8_t *command, size_t size, uint8_t *response)
{
	size_t have = MOST;
	TSS2_RC rc;

	if (!tcti)
		return exchange_socket(command, size, response);
	if ((rc = Tss2_Tcti_Transmit(tcti, size, command)) != 0)
		die("transmit", rc);
	if ((rc = Tss2_Tcti_Receive(tcti, &have, response, TSS2_TCTI_TIMEOUT_BLOCK)) != 0)
		die("receive", rc);
	return have;
}

/* Returns the median time of n commands. */
static int64_t repeat(int n, const uint8_t *command, size_t size, uint8_t *response, size_t *have)
{
	int64_t *times = calloc(n, sizeof *times), middle;

	for (int i = 0; i < n; i++) {
		int64_t start = now();

		*have = exchange(command, size, response);
		times[i] = now() - start;
		if (number(response + 6) != 0)
			die("response code", number(response + 6));
	}
	middle = median(times, n);
	free(times);
	return middle;
}

int main(int argc, char **argv)
{
	static char text[2 * MOST + 1];
	static uint8_t command[MOST], response[MOST];
	size_t have = 0;
	int n;

	if (argc != 2)
		die("usage: client WHERE", argc);
	open_tpm(argv[1]);
	while (scanf("%d %8192s", &n, text) == 2 && n > 0) {
		for (size_t i = 0; i < strlen(text) / 2; i++)
			sscanf(text + 2 * i, "%2hhx", &command[i]);
		printf("%lld ", (long long)repeat(n, command, strlen(text) / 2, response, &have));
		for (size_t i = 0; i < have; i++)
			printf("%02x", response[i]);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}
