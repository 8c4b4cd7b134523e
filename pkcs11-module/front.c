/* The functions that hosts call, made of the rows of functions.h. */
#include "interface.h"
#include "message.h"

/* Expands a macro for each argument of a row, with the shape's name behind P_, S_ or A_. */
#define PICK(a, b, c, d, e, f, name, ...) name
#define EACH(between, m, ...) PICK(__VA_ARGS__, EACH6, EACH5, EACH4, EACH3, EACH2, EACH1, )(between, m, __VA_ARGS__)
#define EACH1(between, m, a) m##a
#define EACH2(between, m, a, ...) m##a between() EACH1(between, m, __VA_ARGS__)
#define EACH3(between, m, a, ...) m##a between() EACH2(between, m, __VA_ARGS__)
#define EACH4(between, m, a, ...) m##a between() EACH3(between, m, __VA_ARGS__)
#define EACH5(between, m, a, ...) m##a between() EACH4(between, m, __VA_ARGS__)
#define EACH6(between, m, a, ...) m##a between() EACH5(between, m, __VA_ARGS__)
#define COMMA() ,
#define NOTHING()
#define UNUSED __attribute__((unused))

/* The arguments that there are: parameters as a host passes them, their shapes in a message (message.h), and what goes there. A new one is three lines. */
#define P_SESSION CK_SESSION_HANDLE session
#define S_SESSION as_number,
#define A_SESSION { NULL, { session } },
#define P_NUMBER(name) CK_ULONG name
#define S_NUMBER(name) as_number,
#define A_NUMBER(name) { NULL, { name } },
#define P_FLAG(name) CK_BBOOL name
#define S_FLAG(name) as_number,
#define A_FLAG(name) { NULL, { name } },
#define P_POINTER(name) void *name
#define S_POINTER(name) as_number,
#define A_POINTER(name) { NULL, { name != NULL } },
#define P_BYTES(name) CK_BYTE_PTR name, CK_ULONG name##_size
#define S_BYTES(name) as_bytes,
#define A_BYTES(name) { name, { name##_size } },
#define P_LABEL(name) CK_BYTE_PTR name
#define S_LABEL(name) as_bytes,
#define A_LABEL(name) { name, { 32 } },
#define P_OPTIONAL(name) CK_BYTE_PTR name, CK_ULONG name##_size
#define S_OPTIONAL(name) as_optional,
#define A_OPTIONAL(name) { name, { name##_size } },
#define P_ARGUMENTS void *arguments
#define S_ARGUMENTS as_arguments,
#define A_ARGUMENTS { arguments, { 0 } },
#define P_MECHANISM CK_MECHANISM_PTR mechanism
#define S_MECHANISM as_mechanism,
#define A_MECHANISM { mechanism, { 0 } },
#define P_TEMPLATE(name) CK_ATTRIBUTE_PTR name, CK_ULONG name##_count
#define S_TEMPLATE(name) as_template,
#define A_TEMPLATE(name) { name, { name##_count } },
#define P_VALUES(name) CK_ATTRIBUTE_PTR name, CK_ULONG name##_count
#define S_VALUES(name) as_values,
#define A_VALUES(name) { name, { name##_count } },
#define P_ROOM(name) CK_BYTE_PTR name, CK_ULONG_PTR name##_size
#define S_ROOM(name) as_room,
#define A_ROOM(name) { name, { .size = name##_size } },
#define P_LIST(name) CK_ULONG_PTR name, CK_ULONG_PTR name##_count
#define S_LIST(name) as_list,
#define A_LIST(name) { name, { .size = name##_count } },
#define P_FOUND(name) CK_OBJECT_HANDLE_PTR name, CK_ULONG most, CK_ULONG_PTR name##_count
#define S_FOUND(name) as_result, as_numbers,
#define A_FOUND(name) { name##_count, { 0 } }, { name, { most } },
#define P_FILLED(name) CK_BYTE_PTR name, CK_ULONG name##_size
#define S_FILLED(name) as_filled,
#define A_FILLED(name) { name, { name##_size } },
#define P_RESULT(name) CK_ULONG_PTR name
#define S_RESULT(name) as_result,
#define A_RESULT(name) { name, { 0 } },
#define P_INFO(type, name) type *name
#define S_INFO(type, name) as_info,
#define A_INFO(type, name) { name, { .fields = tpmkey_##type } },

/* What does not go to the core. */
#define P_UNSENT(type, name) type name UNUSED
#define S_UNSENT(type, name)
#define A_UNSENT(type, name)
#define P_UNSENT_BYTES(name) CK_BYTE_PTR name UNUSED, CK_ULONG name##_size UNUSED
#define S_UNSENT_BYTES(name)
#define A_UNSENT_BYTES(name)
#define P_UNSENT_ROOM(name) CK_BYTE_PTR name UNUSED, CK_ULONG_PTR name##_size UNUSED
#define S_UNSENT_ROOM(name)
#define A_UNSENT_ROOM(name)
#define P_PARAMETER void *parameter UNUSED, CK_ULONG parameter_size UNUSED
#define S_PARAMETER
#define A_PARAMETER

#define CALL(called, name, ...) \
	static CK_RV called(EACH(COMMA, P_, __VA_ARGS__)) \
	{ \
		static const unsigned char shapes[] = { EACH(NOTHING, S_, __VA_ARGS__) as_end }; \
		const struct argument sent[] = { EACH(NOTHING, A_, __VA_ARGS__) }; \
		return tpmkey_exchange(fn_##name, shapes, sent); \
	}

/* The names in this file are n_Sign for C_Sign; the numbers are fn_Sign. */
#define FUNCTION(name, ...) CALL(n_##name, name, __VA_ARGS__)
#define OWN(name)
#include "functions.h"

CALL(call_Initialize, Initialize, ARGUMENTS)
CALL(call_Finalize, Finalize, POINTER(reserved))
CALL(call_GetInfo, GetInfo, NUMBER(major), NUMBER(minor), INFO(CK_INFO, info))
CALL(call_WaitForSlotEvent, WaitForSlotEvent, RESULT(slot), POINTER(reserved))

static CK_RV n_Initialize(void *arguments)
{
	CK_RV rv = tpmkey_start();

	return rv == CKR_OK ? call_Initialize(arguments) : rv;
}

static CK_RV n_Finalize(void *reserved)
{
	CK_RV rv = call_Finalize(reserved);

	if (rv != CKR_OK)
		return rv;
	tpmkey_finalized();
	tpmkey_stop();
	return rv;
}

/* The core only looks. Whoever wants to wait does so here, where no worker waits with him, and looks again from time to time. */
static CK_RV n_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID_PTR slot, void *reserved)
{
	unsigned before = tpmkey_finalizations();
	CK_RV rv;

	while ((rv = call_WaitForSlotEvent(slot, reserved)) == CKR_NO_EVENT && !(flags & CKF_DONT_BLOCK))
		if (tpmkey_await_finalize(before))
			return CKR_CRYPTOKI_NOT_INITIALIZED;
	return rv;
}

/* CK_INFO says the version of the interface that it is asked by. */
static CK_RV n_GetInfo(CK_INFO_PTR info) { return call_GetInfo(2, 40, info); }
static CK_RV n_GetInfo_3_0(CK_INFO_PTR info) { return call_GetInfo(3, 0, info); }

#define n_GetFunctionList tpmkey_GetFunctionList
#define n_GetInterfaceList tpmkey_GetInterfaceList
#define n_GetInterface tpmkey_GetInterface

#define FUNCTION(name, ...) n_##name,
#define OWN(name) n_##name,
#define ONLY_2_40
CK_FUNCTION_LIST tpmkey_functions = { { 2, 40 },
#include "functions.h"
};

/* CK_FUNCTION_LIST_3_0, which p11-kit's header of Debian 12 does not have. */
#define n_GetInfo n_GetInfo_3_0 /* the one pointer that differs */
#define FUNCTION(name, ...) __typeof__(n_##name) *C_##name;
#define OWN(name) __typeof__(n_##name) *C_##name;
struct function_list_3_0 {
	CK_VERSION version;
#include "functions.h"
};

#define FUNCTION(name, ...) n_##name,
#define OWN(name) n_##name,
struct function_list_3_0 tpmkey_functions_3_0 = { { 3, 0 },
#include "functions.h"
};
