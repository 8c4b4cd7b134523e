/*
 * A host that looks for its PIN in all memory that can be written, after it has logged out.
 *
 *   secrets MODULE login
 */
#define _GNU_SOURCE
#include <unistd.h>

#include "host.h"

enum { SIZE = 16, MASK = 0x5a };

/* The PIN as nobody else has it. */
static unsigned char masked[SIZE];

static size_t count_in(const unsigned char *from, const unsigned char *end)
{
	size_t n = 0, i;

	for (; from + SIZE <= end; from++) {
		for (i = 0; i < SIZE && (from[i] ^ MASK) == masked[i]; i++)
			;
		n += i == SIZE;
	}
	return n;
}

/* What is not there is not read: kernels give no memory for pages that nobody has written to, and some cannot be read at all. */
static size_t count_in_region(FILE *memory, unsigned long from, unsigned long end)
{
	static unsigned char bytes[(1 << 20) + SIZE];
	size_t n = 0, got;

	for (; from < end; from += 1 << 20) {
		size_t size = end - from < sizeof bytes ? end - from : sizeof bytes;

		if (bytes >= (unsigned char *)from && bytes < (unsigned char *)end)
			continue;
		got = (size_t)pread(fileno(memory), bytes, size, (off_t)from);
		if (got == (size_t)-1)
			continue;
		n += count_in(bytes, bytes + got);
	}
	explicit_bzero(bytes, sizeof bytes);
	return n;
}

static size_t count_in_memory(void)
{
	FILE *maps = fopen("/proc/self/maps", "r"), *memory = fopen("/proc/self/mem", "r");
	unsigned long from, end;
	char line[512], access[5];
	size_t n = 0;

	if (!maps || !memory)
		return 999;
	while (fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx %4s", &from, &end, access) == 3 && access[0] == 'r' && access[1] == 'w')
			n += count_in_region(memory, from, end);
	fclose(maps);
	fclose(memory);
	return n;
}

static void login(int unused)
{
	unsigned char pin[SIZE];
	CK_SESSION_HANDLE s;
	size_t i, n;

	(void)unused;
	EXPECT(getentropy(masked, SIZE) == 0, "nothing random");
	CHECK(CKR_OK, f->C_Initialize(NULL));
	s = open_session();
	EXPECT(count_in_memory() == 0, "found before"); /* and all functions are bound: that would leave the processor's registers on the stack */
	for (i = 0; i < SIZE; i++)
		pin[i] = masked[i] ^ MASK;
	CHECK(CKR_OK, f->C_Login(s, CKU_USER, pin, SIZE));
	explicit_bzero(pin, SIZE);
	n = count_in_memory();
	EXPECT(n > 0, "the PIN of the login is not found");
	CHECK(CKR_OK, f->C_Logout(s));
	n = count_in_memory();
	EXPECT(n == 0, "the PIN is in %zu places after the logout", n);
}

static const struct mode modes[] = { { "login", login } };

MAIN(modes)
