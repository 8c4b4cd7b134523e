/* What hosts find in the file: three functions that give the others. */
#include <string.h>

#include "interface.h"

#define EXPORTED __attribute__((visibility("default")))

EXPORTED CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);
EXPORTED CK_RV C_GetInterfaceList(struct interface *list, CK_ULONG *count);
EXPORTED CK_RV C_GetInterface(CK_BYTE_PTR name, const CK_VERSION *version, struct interface **interface, CK_FLAGS flags);

/* The first is the default. Each begins with its version. */
static char interface_name[] = "PKCS 11";
static struct interface interfaces[] = { { interface_name, &tpmkey_functions_3_0, 0 }, { interface_name, &tpmkey_functions, 0 } };
#define INTERFACES (sizeof interfaces / sizeof interfaces[0])

CK_RV tpmkey_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	if (!list)
		return CKR_ARGUMENTS_BAD;
	*list = &tpmkey_functions;
	return CKR_OK;
}

CK_RV tpmkey_GetInterfaceList(struct interface *list, CK_ULONG *count)
{
	CK_ULONG room;

	if (!count)
		return CKR_ARGUMENTS_BAD;
	room = *count;
	*count = INTERFACES;
	if (!list)
		return CKR_OK;
	if (room < INTERFACES)
		return CKR_BUFFER_TOO_SMALL;
	memcpy(list, interfaces, sizeof interfaces);
	return CKR_OK;
}

static int is_interface(const struct interface *i, const char *name, const CK_VERSION *version, CK_FLAGS flags)
{
	const CK_VERSION *its = i->functions;

	return (!name || !strcmp(name, i->name)) && (!version || (version->major == its->major && version->minor == its->minor)) &&
	       (i->flags & flags) == flags;
}

CK_RV tpmkey_GetInterface(CK_BYTE_PTR name, const CK_VERSION *version, struct interface **interface, CK_FLAGS flags)
{
	size_t i;

	if (!interface)
		return CKR_ARGUMENTS_BAD;
	for (i = 0; i < INTERFACES; i++)
		if (is_interface(&interfaces[i], (const char *)name, version, flags)) {
			*interface = &interfaces[i];
			return CKR_OK;
		}
	return CKR_FUNCTION_FAILED;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) { return tpmkey_GetFunctionList(list); }
CK_RV C_GetInterfaceList(struct interface *list, CK_ULONG *count) { return tpmkey_GetInterfaceList(list, count); }
CK_RV C_GetInterface(CK_BYTE_PTR name, const CK_VERSION *version, struct interface **interface, CK_FLAGS flags)
{
	return tpmkey_GetInterface(name, version, interface, flags);
}
