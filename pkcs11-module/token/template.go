package token

import (
	"bytes"
	"slices"
)

// An attribute is a CK_ATTRIBUTE as it was passed.
type attribute struct {
	kind  attributeType
	value []byte
}

type template []attribute

// get gives an attribute's value.
func (t template) get(kind attributeType) ([]byte, bool) {
	i := slices.IndexFunc(t, func(a attribute) bool { return a.kind == kind })
	if i < 0 {
		return nil, false
	}
	return t[i].value, true
}

// flag gives a boolean attribute, and what is the case where there is none.
func (t template) flag(kind attributeType, otherwise bool) bool {
	value, ok := t.get(kind)
	if !ok {
		return otherwise
	}
	return isTrue(value)
}

// has wants attributes that an object cannot be made without.
func (t template) has(kinds ...attributeType) CKR {
	for _, kind := range kinds {
		if _, ok := t.get(kind); !ok {
			return CKR_TEMPLATE_INCOMPLETE
		}
	}
	return CKR_OK
}

// mostValue is what all values of an object may have together, in bytes.
const mostValue = 256 << 10

// check tells what is wrong with a template for objects of a class (PKCS #11 v2.40, 4.1.1).
func (t template) check(class uint64, when int) CKR {
	size := 0
	for _, a := range t {
		if rv := a.check(class, when); rv != CKR_OK {
			return rv
		}
		if first, _ := t.get(a.kind); !bytes.Equal(first, a.value) {
			return CKR_TEMPLATE_INCONSISTENT
		}
		size += len(a.value)
	}
	if size > mostValue {
		return CKR_DEVICE_MEMORY
	}
	return CKR_OK
}

func (a attribute) check(class uint64, when int) CKR {
	row, known := attributes[a.kind]
	switch {
	case !known || row.classes&classBits[class] == 0:
		return CKR_ATTRIBUTE_TYPE_INVALID
	case row.when&when == 0, a.kind == CKA_VALUE && class == CKO_CERTIFICATE && when != creating:
		return CKR_ATTRIBUTE_READ_ONLY
	case row.form(a.value):
	case isBoolean(a.value) && !row.form(boolean(!isTrue(a.value))):
		return CKR_ATTRIBUTE_VALUE_INVALID
	case isBoolean(a.value) && when&making == 0:
		return CKR_ATTRIBUTE_READ_ONLY // once it has the other value (4.1, footnotes 11 and 12)
	case isBoolean(a.value):
		return CKR_TEMPLATE_INCONSISTENT // the other value would do
	default:
		return CKR_ATTRIBUTE_VALUE_INVALID
	}
	if a.kind == CKA_CLASS && !bytes.Equal(a.value, number(class)) {
		return CKR_TEMPLATE_INCONSISTENT
	}
	if a.kind == CKA_KEY_TYPE && when == generating && !bytes.Equal(a.value, number(CKK_RSA)) {
		return CKR_TEMPLATE_INCONSISTENT // with the mechanism
	}
	if a.kind == CKA_KEY_TYPE && !bytes.Equal(a.value, number(CKK_RSA)) || a.kind == CKA_CERTIFICATE_TYPE && !bytes.Equal(a.value, number(CKC_X_509)) {
		return CKR_ATTRIBUTE_VALUE_INVALID
	}
	return CKR_OK
}

// give gives an object its own values, as far as it keeps them and they differ from what is true of it anyway.
func (o *object) give(t template) {
	for _, a := range t {
		switch {
		case !attributes[a.kind].kept:
			continue
		case o.own == nil:
			o.own = map[attributeType][]byte{}
		}
		delete(o.own, a.kind)
		if value, rv := o.attribute(a.kind); rv == CKR_OK && !bytes.Equal(value, a.value) {
			o.own[a.kind] = bytes.Clone(a.value)
		}
	}
}
