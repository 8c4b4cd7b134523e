package token

import "maps"

// copyObject is C_CopyObject (5.7). A key that is copied is the same key, in another file or in none.
func copyObject(s *session, r *request, out *response) CKR {
	from, t := s.object(r.number()), r.template()
	switch {
	case r.bad:
		return CKR_ARGUMENTS_BAD
	case from == nil:
		return CKR_OBJECT_HANDLE_INVALID
	case !from.is(CKA_COPYABLE):
		return CKR_ACTION_PROHIBITED
	}
	if rv := t.check(from.class, copying); rv != CKR_OK {
		return rv
	}
	if _, ok := t.get(CKA_TOKEN); !ok {
		t = append(t, attribute{CKA_TOKEN, boolean(from.owner == nil)})
	}
	if _, ok := t.get(CKA_PRIVATE); !ok {
		t = append(t, attribute{CKA_PRIVATE, boolean(from.is(CKA_PRIVATE))})
	} else if from.is(CKA_PRIVATE) && !t.flag(CKA_PRIVATE, true) {
		return CKR_TEMPLATE_INCONSISTENT // it can be made so, and not unmade
	}
	o := &object{token: s.token, class: from.class}
	if rv := s.place(o, t); rv != CKR_OK {
		return rv
	}
	if err := from.copyTo(o, t); err != nil {
		return s.library.returnValue("C_CopyObject", err)
	}
	out.number(s.token.show(o))
	return CKR_OK
}

func (o *object) copyTo(new *object, t template) (err error) {
	if o.class != CKO_PRIVATE_KEY {
		new.own = maps.Clone(o.everything())
		if rv := new.complete(); rv != CKR_OK {
			return rv
		}
		return createStored(new, t)
	}
	new.own = o.values()
	new.setKey(o.key, t)
	if new.owner == nil {
		new.key, err = new.token.keep(o.key, new.note())
	}
	return err
}

// values are what an object keeps, with what comes from its file.
func (o *object) values() map[attributeType][]byte {
	own := maps.Clone(o.own)
	if own == nil {
		own = map[attributeType][]byte{}
	}
	for _, kind := range []attributeType{CKA_LABEL, CKA_ID, CKA_SUBJECT} {
		if value, rv := o.attribute(kind); rv == CKR_OK && len(value) > 0 {
			own[kind] = value
		}
	}
	return own
}

// everything is what an object without a key needs.
func (o *object) everything() map[attributeType][]byte {
	own := o.values()
	for _, kind := range []attributeType{CKA_VALUE, CKA_MODULUS, CKA_PUBLIC_EXPONENT} {
		if value, rv := o.attribute(kind); rv == CKR_OK {
			own[kind] = value
		}
	}
	return own
}
