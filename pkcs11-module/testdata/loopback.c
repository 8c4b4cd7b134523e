/*
 * Preloaded, keeps a server from listening for the whole network: some have no flag for that.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static const struct in6_addr mapped = { { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1 } } }; /* for clients of both */

static int for_six_only(int fd)
{
	int only = 0;
	socklen_t size = sizeof only;

	return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &size) == 0 && only;
}

int bind(int fd, const struct sockaddr *address, socklen_t size)
{
	int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
	struct sockaddr_storage changed = { 0 };
	struct sockaddr_in *four = (struct sockaddr_in *)&changed;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&changed;

	if (size > sizeof changed)
		return next(fd, address, size);
	memcpy(&changed, address, size);
	if (changed.ss_family == AF_INET && four->sin_addr.s_addr == htonl(INADDR_ANY))
		four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (changed.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr))
		six->sin6_addr = for_six_only(fd) ? in6addr_loopback : mapped;
	return next(fd, (struct sockaddr *)&changed, size);
}
