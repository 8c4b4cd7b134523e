package token

// endedBy are the functions whose failure ends an operation.
var endedBy = map[uint64]kind{
	31: encrypting, 32: encrypting, 33: encrypting,
	35: decrypting, 36: decrypting, 37: decrypting,
	39: digesting, 40: digesting, 42: digesting,
	44: signing, 45: signing, 46: signing, 48: signRecovering,
	50: verifying, 51: verifying, 52: verifying, 54: verifyRecovering,
}

// functions has a row for each number of the front: the order of CK_FUNCTION_LIST (PKCS #11 v2.40, 3.7), counted from 1, and of what
// CK_FUNCTION_LIST_3_0 has after it.
var functions = [...]function{
	1:  initialize,
	2:  finalize,
	3:  initialized(getInfo),
	4:  nil, // C_GetFunctionList is the front's
	5:  initialized(getSlotList),
	6:  onSlot(getSlotInfo),
	7:  onSlot(getTokenInfo),
	8:  onSlot(getMechanismList),
	9:  onSlot(getMechanismInfo),
	10: onSlot(initToken),
	11: onSession(initPIN),
	12: onSession(setPIN),
	13: onSlot(openSession),
	14: initialized(closeSession),
	15: onSlot(closeAllSessions),
	16: onSession(getSessionInfo),
	17: onSession(getOperationState),
	18: refuseSession(CKR_SAVED_STATE_INVALID), // C_SetOperationState: nobody got one from us
	19: onSession(logIn),
	20: onSession(logout),
	21: onSession(createObject),
	22: onSession(copyObject),
	23: onSession(destroyObject),
	24: onSession(getObjectSize),
	25: onSession(getAttributeValue),
	26: onSession(setAttributeValue),
	27: onSession(findObjectsInit),
	28: onSession(findObjects),
	29: onSession(findObjectsFinal),
	30: onSession(encryptInit),
	31: onSession(encrypt),
	32: onSession(encryptUpdate),
	33: onSession(encryptFinal),
	34: onSession(decryptInit),
	35: onSession(decrypt),
	36: onSession(decryptUpdate),
	37: onSession(decryptFinal),
	38: onSession(digestInit),
	39: onSession(digest),
	40: onSession(digestUpdate),
	41: onSession(digestKey),
	42: onSession(digestFinal),
	43: onSession(signInit),
	44: onSession(sign),
	45: onSession(signUpdate),
	46: onSession(signFinal),
	47: onSession(signRecoverInit),
	48: onSession(signRecover),
	49: onSession(verifyInit),
	50: onSession(verify),
	51: onSession(verifyUpdate),
	52: onSession(verifyFinal),
	53: onSession(verifyRecoverInit),
	54: onSession(verifyRecover),
	55: refuseSession(CKR_FUNCTION_NOT_SUPPORTED), // C_DigestEncryptUpdate and the other double functions: there is no CKF_DUAL_CRYPTO_OPERATIONS
	56: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	57: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	58: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	59: refuseMechanism(CKR_FUNCTION_NOT_SUPPORTED), // C_GenerateKey: no secret keys
	60: onSession(generateKeyPair),
	61: refuseMechanism(CKR_FUNCTION_NOT_SUPPORTED), // C_WrapKey: no secret keys, and private ones stay
	62: refuseMechanism(CKR_FUNCTION_NOT_SUPPORTED), // C_UnwrapKey
	63: refuseMechanism(CKR_FUNCTION_NOT_SUPPORTED), // C_DeriveKey
	64: onSession(seedRandom),
	65: onSession(generateRandom),
	66: refuseSession(CKR_FUNCTION_NOT_PARALLEL), // C_GetFunctionStatus (5.15)
	67: refuseSession(CKR_FUNCTION_NOT_PARALLEL), // C_CancelFunction
	68: initialized(waitForSlotEvent),

	69: nil, // C_GetInterfaceList and C_GetInterface are the front's
	70: nil,
	71: onSession(loginUser),
	72: onSession(sessionCancel),
	73: refuseSession(CKR_FUNCTION_NOT_SUPPORTED), // C_MessageEncryptInit and all functions after it: no mechanism takes messages
	74: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	75: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	76: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	77: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	78: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	79: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	80: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	81: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	82: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	83: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	84: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	85: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	86: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	87: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	88: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	89: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	90: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	91: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
	92: refuseSession(CKR_FUNCTION_NOT_SUPPORTED),
}
