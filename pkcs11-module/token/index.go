package token

import (
	"slices"
	"strconv"
)

// indexed are the attributes that hosts look for objects by. With thousands of keys they would else wait for all others to be looked at.
var indexed = []attributeType{CKA_ID, CKA_LABEL}

func indexKey(kind attributeType, value []byte) string {
	return strconv.FormatUint(uint64(kind), 16) + " " + string(value)
}

// put files a new object. Those of sessions change without a refresh, and are few: the index does not have them.
func (o *objects) put(new *object) {
	o.order = append(o.order, new.handle)
	if new.owner != nil {
		o.sessions = append(o.sessions, new.handle)
		return
	}
	for _, kind := range indexed {
		if value, rv := new.attribute(kind); rv == CKR_OK {
			key := indexKey(kind, value)
			o.index[key] = append(o.index[key], new)
		}
	}
}

// candidates are the objects that can match a template: all of them, where the index does not help.
func (o *objects) candidates(wanted template) (list []*object, byIndex bool) {
	for _, kind := range indexed {
		if value, ok := wanted.get(kind); ok {
			return slices.Concat(o.index[indexKey(kind, value)], o.ofSessions()), true
		}
	}
	return o.all(o.order), false
}

func (o *objects) ofSessions() []*object { return o.all(o.sessions) }

func (o *objects) all(handles []uint64) []*object {
	list := make([]*object, len(handles))
	for i, handle := range handles {
		list[i] = o.byHandle[handle]
	}
	return list
}
