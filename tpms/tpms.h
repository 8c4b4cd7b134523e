/*
 * What the holder of an open /dev/tpms may ask and change, by ioctl(2). All of it
 * is the descriptor's: whoever else opens /dev/tpms gets what the administrator
 * grants, and whoever this descriptor is passed to gets what it was left at.
 *
 * Everybody may query, narrow and seal. To set a filter, a chip or a locality, who
 * opened the descriptor and who calls must both be root, with CAP_SYS_ADMIN in the
 * initial user namespace; else the answer is EPERM. What the chip held for the
 * descriptor is gone then.
 *
 * EBUSY  a command runs
 * EINVAL the filter's text means nothing
 * ENODEV there is no such chip
 * ENOSPC it was narrowed too often
 * EOPNOTSUPP  this chip has no such locality
 * EOVERFLOW   the filter's text is longer than the structure; query has its name
 * EPERM  not root, or sealed
 */
#ifndef TPMS_H
#define TPMS_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TPMS_ANY_CHIP (-1) /* the first there is */
#define TPMS_SEALED 1      /* nothing changes any more */

struct tpms_query {
	__s32 chip;
	__u32 locality;
	__u32 flags;
	__u32 reserved;
	char filter[240]; /* its name, or the names of all that narrow it; ends with a 0 */
};

/* A filter: the name of a profile that "tpmkey filter list" shows, or a profile's text. */
struct tpms_filter {
	char text[16000]; /* ends with a 0 */
};

#define TPMS_IOC_QUERY _IOR(0xBE, 0, struct tpms_query)
#define TPMS_IOC_GET_FILTER _IOR(0xBE, 1, struct tpms_filter) /* the text */
#define TPMS_IOC_SET_FILTER _IOW(0xBE, 2, struct tpms_filter) /* root */
#define TPMS_IOC_GET_CHIP _IOR(0xBE, 3, __s32)
#define TPMS_IOC_SET_CHIP _IOW(0xBE, 4, __s32) /* root */
#define TPMS_IOC_GET_LOCALITY _IOR(0xBE, 5, __u32)
#define TPMS_IOC_SET_LOCALITY _IOW(0xBE, 6, __u32) /* root */
#define TPMS_IOC_NARROW _IOW(0xBE, 7, struct tpms_filter) /* from now on only what both let through */
#define TPMS_IOC_SEAL _IO(0xBE, 8)

#endif
