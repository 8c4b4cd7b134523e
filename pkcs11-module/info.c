/* The structures that hosts get, in the order in which the core answers with their fields: that of the specification (PKCS #11 v2.40, 3.1 to 3.5). */
#include "message.h"

#define FIELD(type, name, kind) { kind, offsetof(type, name), sizeof((type *)NULL)->name },
#define TEXT(name) FIELD(OF, name, text_field)
#define COUNT(name) FIELD(OF, name, count_field)
#define VERSION(name) FIELD(OF, name, version_field)
#define END { no_field, 0, 0 }

#define OF CK_INFO
const struct field tpmkey_CK_INFO[] = {
	VERSION(cryptokiVersion) TEXT(manufacturerID) COUNT(flags) TEXT(libraryDescription) VERSION(libraryVersion) END
};
#undef OF

#define OF CK_SLOT_INFO
const struct field tpmkey_CK_SLOT_INFO[] = {
	TEXT(slotDescription) TEXT(manufacturerID) COUNT(flags) VERSION(hardwareVersion) VERSION(firmwareVersion) END
};
#undef OF

#define OF CK_TOKEN_INFO
const struct field tpmkey_CK_TOKEN_INFO[] = {
	TEXT(label) TEXT(manufacturerID) TEXT(model) TEXT(serialNumber) COUNT(flags)
	COUNT(ulMaxSessionCount) COUNT(ulSessionCount) COUNT(ulMaxRwSessionCount) COUNT(ulRwSessionCount) COUNT(ulMaxPinLen) COUNT(ulMinPinLen)
	COUNT(ulTotalPublicMemory) COUNT(ulFreePublicMemory) COUNT(ulTotalPrivateMemory) COUNT(ulFreePrivateMemory)
	VERSION(hardwareVersion) VERSION(firmwareVersion) TEXT(utcTime) END
};
#undef OF

#define OF CK_MECHANISM_INFO
const struct field tpmkey_CK_MECHANISM_INFO[] = { COUNT(ulMinKeySize) COUNT(ulMaxKeySize) COUNT(flags) END };
#undef OF

#define OF CK_SESSION_INFO
const struct field tpmkey_CK_SESSION_INFO[] = { COUNT(slotID) COUNT(state) COUNT(flags) COUNT(ulDeviceError) END };
