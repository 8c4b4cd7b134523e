package token

// Names and values of PKCS #11 v2.40, letter by letter; a test compares them with another program's list.

type (
	// A CKR is a return value of a Cryptoki function (11.1).
	CKR uint64

	attributeType uint64 // CK_ATTRIBUTE_TYPE
	mechanismType uint64 // CK_MECHANISM_TYPE
)

const (
	CKR_OK                             CKR = 0x0
	CKR_HOST_MEMORY                    CKR = 0x2
	CKR_SLOT_ID_INVALID                CKR = 0x3
	CKR_GENERAL_ERROR                  CKR = 0x5
	CKR_FUNCTION_FAILED                CKR = 0x6
	CKR_ARGUMENTS_BAD                  CKR = 0x7
	CKR_NO_EVENT                       CKR = 0x8
	CKR_CANT_LOCK                      CKR = 0xa
	CKR_ATTRIBUTE_READ_ONLY            CKR = 0x10
	CKR_ATTRIBUTE_SENSITIVE            CKR = 0x11
	CKR_ATTRIBUTE_TYPE_INVALID         CKR = 0x12
	CKR_ATTRIBUTE_VALUE_INVALID        CKR = 0x13
	CKR_DATA_INVALID                   CKR = 0x20
	CKR_DATA_LEN_RANGE                 CKR = 0x21
	CKR_DEVICE_ERROR                   CKR = 0x30
	CKR_DEVICE_MEMORY                  CKR = 0x31
	CKR_DEVICE_REMOVED                 CKR = 0x32
	CKR_ENCRYPTED_DATA_INVALID         CKR = 0x40
	CKR_ENCRYPTED_DATA_LEN_RANGE       CKR = 0x41
	CKR_FUNCTION_CANCELED              CKR = 0x50
	CKR_FUNCTION_NOT_PARALLEL          CKR = 0x51
	CKR_FUNCTION_NOT_SUPPORTED         CKR = 0x54
	CKR_KEY_HANDLE_INVALID             CKR = 0x60
	CKR_KEY_SIZE_RANGE                 CKR = 0x62
	CKR_KEY_TYPE_INCONSISTENT          CKR = 0x63
	CKR_KEY_INDIGESTIBLE               CKR = 0x67
	CKR_KEY_FUNCTION_NOT_PERMITTED     CKR = 0x68
	CKR_MECHANISM_INVALID              CKR = 0x70
	CKR_MECHANISM_PARAM_INVALID        CKR = 0x71
	CKR_OBJECT_HANDLE_INVALID          CKR = 0x82
	CKR_OPERATION_ACTIVE               CKR = 0x90
	CKR_OPERATION_NOT_INITIALIZED      CKR = 0x91
	CKR_PIN_INCORRECT                  CKR = 0xa0
	CKR_PIN_INVALID                    CKR = 0xa1
	CKR_PIN_LEN_RANGE                  CKR = 0xA2
	CKR_PIN_LOCKED                     CKR = 0xa4
	CKR_SESSION_HANDLE_INVALID         CKR = 0xb3
	CKR_SESSION_PARALLEL_NOT_SUPPORTED CKR = 0xb4
	CKR_SESSION_READ_ONLY              CKR = 0xb5
	CKR_SESSION_EXISTS                 CKR = 0xb6
	CKR_SESSION_READ_ONLY_EXISTS       CKR = 0xb7
	CKR_SESSION_READ_WRITE_SO_EXISTS   CKR = 0xb8
	CKR_SIGNATURE_INVALID              CKR = 0xc0
	CKR_SIGNATURE_LEN_RANGE            CKR = 0xc1
	CKR_TEMPLATE_INCOMPLETE            CKR = 0xd0
	CKR_TEMPLATE_INCONSISTENT          CKR = 0xd1
	CKR_TOKEN_NOT_PRESENT              CKR = 0xe0
	CKR_TOKEN_WRITE_PROTECTED          CKR = 0xe2
	CKR_USER_ALREADY_LOGGED_IN         CKR = 0x100
	CKR_USER_NOT_LOGGED_IN             CKR = 0x101
	CKR_USER_PIN_NOT_INITIALIZED       CKR = 0x102
	CKR_USER_TYPE_INVALID              CKR = 0x103
	CKR_USER_ANOTHER_ALREADY_LOGGED_IN CKR = 0x104
	CKR_RANDOM_SEED_NOT_SUPPORTED      CKR = 0x120
	CKR_BUFFER_TOO_SMALL               CKR = 0x150
	CKR_SAVED_STATE_INVALID            CKR = 0x160
	CKR_STATE_UNSAVEABLE               CKR = 0x180
	CKR_CRYPTOKI_NOT_INITIALIZED       CKR = 0x190
	CKR_CRYPTOKI_ALREADY_INITIALIZED   CKR = 0x191
	CKR_ACTION_PROHIBITED              CKR = 0x1b
)

const (
	CKA_CLASS                      attributeType = 0x0
	CKA_TOKEN                      attributeType = 0x1
	CKA_PRIVATE                    attributeType = 0x2
	CKA_LABEL                      attributeType = 0x3
	CKA_VALUE                      attributeType = 0x11
	CKA_APPLICATION                attributeType = 0x10
	CKA_OBJECT_ID                  attributeType = 0x12
	CKA_UNIQUE_ID                  attributeType = 0x4
	CKA_PROFILE_ID                 attributeType = 0x601
	CKA_CERTIFICATE_TYPE           attributeType = 0x80
	CKA_ISSUER                     attributeType = 0x81
	CKA_SERIAL_NUMBER              attributeType = 0x82
	CKA_TRUSTED                    attributeType = 0x86
	CKA_CERTIFICATE_CATEGORY       attributeType = 0x87
	CKA_URL                        attributeType = 0x89
	CKA_JAVA_MIDP_SECURITY_DOMAIN  attributeType = 0x88
	CKA_HASH_OF_SUBJECT_PUBLIC_KEY attributeType = 0x8a
	CKA_HASH_OF_ISSUER_PUBLIC_KEY  attributeType = 0x8b
	CKA_NAME_HASH_ALGORITHM        attributeType = 0x8c
	CKA_CHECK_VALUE                attributeType = 0x90
	CKA_KEY_TYPE                   attributeType = 0x100
	CKA_SUBJECT                    attributeType = 0x101
	CKA_ID                         attributeType = 0x102
	CKA_SENSITIVE                  attributeType = 0x103
	CKA_ENCRYPT                    attributeType = 0x104
	CKA_DECRYPT                    attributeType = 0x105
	CKA_WRAP                       attributeType = 0x106
	CKA_UNWRAP                     attributeType = 0x107
	CKA_SIGN                       attributeType = 0x108
	CKA_SIGN_RECOVER               attributeType = 0x109
	CKA_VERIFY                     attributeType = 0x10a
	CKA_VERIFY_RECOVER             attributeType = 0x10b
	CKA_DERIVE                     attributeType = 0x10c
	CKA_START_DATE                 attributeType = 0x110
	CKA_END_DATE                   attributeType = 0x111
	CKA_MODULUS                    attributeType = 0x120
	CKA_MODULUS_BITS               attributeType = 0x121
	CKA_PUBLIC_EXPONENT            attributeType = 0x122
	CKA_PUBLIC_KEY_INFO            attributeType = 0x129
	CKA_PRIVATE_EXPONENT           attributeType = 0x123
	CKA_PRIME_1                    attributeType = 0x124
	CKA_PRIME_2                    attributeType = 0x125
	CKA_EXPONENT_1                 attributeType = 0x126
	CKA_EXPONENT_2                 attributeType = 0x127
	CKA_COEFFICIENT                attributeType = 0x128
	CKA_EXTRACTABLE                attributeType = 0x162
	CKA_LOCAL                      attributeType = 0x163
	CKA_NEVER_EXTRACTABLE          attributeType = 0x164
	CKA_ALWAYS_SENSITIVE           attributeType = 0x165
	CKA_KEY_GEN_MECHANISM          attributeType = 0x166
	CKA_MODIFIABLE                 attributeType = 0x170
	CKA_COPYABLE                   attributeType = 0x171
	CKA_DESTROYABLE                attributeType = 0x172
	CKA_ALWAYS_AUTHENTICATE        attributeType = 0x202
	CKA_WRAP_WITH_TRUSTED          attributeType = 0x210
	CKA_ALLOWED_MECHANISMS         attributeType = 0x40000600
)

const (
	CKM_RSA_PKCS_KEY_PAIR_GEN mechanismType = 0x0
	CKM_RSA_PKCS              mechanismType = 0x1
	CKM_RSA_X_509             mechanismType = 0x3
	CKM_RSA_PKCS_OAEP         mechanismType = 0x9
	CKM_RSA_PKCS_PSS          mechanismType = 0xd
	CKM_SHA1_RSA_PKCS         mechanismType = 0x6
	CKM_SHA224_RSA_PKCS       mechanismType = 0x46
	CKM_SHA256_RSA_PKCS       mechanismType = 0x40
	CKM_SHA384_RSA_PKCS       mechanismType = 0x41
	CKM_SHA512_RSA_PKCS       mechanismType = 0x42
	CKM_SHA1_RSA_PKCS_PSS     mechanismType = 0xe
	CKM_SHA224_RSA_PKCS_PSS   mechanismType = 0x47
	CKM_SHA256_RSA_PKCS_PSS   mechanismType = 0x43
	CKM_SHA384_RSA_PKCS_PSS   mechanismType = 0x44
	CKM_SHA512_RSA_PKCS_PSS   mechanismType = 0x45
	CKM_SHA_1                 mechanismType = 0x220
	CKM_SHA224                mechanismType = 0x255
	CKM_SHA256                mechanismType = 0x250
	CKM_SHA384                mechanismType = 0x260
	CKM_SHA512                mechanismType = 0x270
)

const (
	CKO_CERTIFICATE uint64 = 0x1
	CKO_DATA        uint64 = 0x0
	CKO_PUBLIC_KEY  uint64 = 0x2
	CKO_PRIVATE_KEY uint64 = 0x3
	CKO_PROFILE     uint64 = 0x9

	CKP_BASELINE_PROVIDER         uint64 = 0x1
	CKP_PUBLIC_CERTIFICATES_TOKEN uint64 = 0x4
	CKK_RSA                       uint64 = 0x0
	CKC_X_509                     uint64 = 0x0
	CKU_SO                        uint64 = 0x0
	CKU_USER                      uint64 = 0x1
	CKU_CONTEXT_SPECIFIC          uint64 = 0x2
	CKS_RO_USER_FUNCTIONS         uint64 = 0x1
	CKS_RO_PUBLIC_SESSION         uint64 = 0x0
	CKS_RW_PUBLIC_SESSION         uint64 = 0x2
	CKS_RW_SO_FUNCTIONS           uint64 = 0x4
	CKS_RW_USER_FUNCTIONS         uint64 = 0x3
	CKF_RW_SESSION                uint64 = 0x2
	CKF_SERIAL_SESSION            uint64 = 0x4
	CKF_TOKEN_PRESENT             uint64 = 0x1
	CKF_RNG                       uint64 = 0x1
	CKF_WRITE_PROTECTED           uint64 = 0x2
	CKF_USER_PIN_INITIALIZED      uint64 = 0x8
	CKF_LOGIN_REQUIRED            uint64 = 0x4
	CKF_USER_PIN_COUNT_LOW        uint64 = 0x10000
	CKF_USER_PIN_LOCKED           uint64 = 0x40000
	CKF_SO_PIN_COUNT_LOW          uint64 = 0x100000
	CKF_SO_PIN_LOCKED             uint64 = 0x400000
	CKF_REMOVABLE_DEVICE          uint64 = 0x2
	CKF_HW_SLOT                   uint64 = 0x4
	CKF_TOKEN_INITIALIZED         uint64 = 0x400
	CKF_HW                        uint64 = 0x1
	CKF_ENCRYPT                   uint64 = 0x100
	CKF_DECRYPT                   uint64 = 0x200
	CKF_DIGEST                    uint64 = 0x400
	CKF_SIGN                      uint64 = 0x800
	CKF_SIGN_RECOVER              uint64 = 0x1000
	CKF_VERIFY                    uint64 = 0x2000
	CKF_VERIFY_RECOVER            uint64 = 0x4000
	CKF_FIND_OBJECTS              uint64 = 0x40
	CKF_GENERATE_KEY_PAIR         uint64 = 0x10000
	CKF_OS_LOCKING_OK             uint64 = 0x2
	CKF_DONT_BLOCK                uint64 = 0x1
	CKG_MGF1_SHA1                 uint64 = 0x1
	CKG_MGF1_SHA224               uint64 = 0x5
	CKG_MGF1_SHA256               uint64 = 0x2
	CKG_MGF1_SHA384               uint64 = 0x3
	CKG_MGF1_SHA512               uint64 = 0x4
	CKZ_DATA_SPECIFIED            uint64 = 0x1
)

// unavailable is CK_UNAVAILABLE_INFORMATION, and what an attribute's length says when it has none.
const unavailable = ^uint64(0)
