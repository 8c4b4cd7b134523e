package token

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"tpmkey.example/provider"
)

// An object is what a host sees: a part of a key, a certificate, data. On the token it lives as long as its file does, else as long as the session that made
// it.
type object struct {
	token       *token
	handle      uint64
	class       uint64
	key         *provider.Key            // of a private key, and of what belongs to one
	public      *rsa.PublicKey           // of keys
	certificate *x509.Certificate        // nil where there is none, or it cannot be read
	own         map[attributeType][]byte // values that only the object itself knows
	path        string                   // of an object with a file of its own
	owner       *session                 // nil: it is on the token
	profile     uint64                   // of a profile
}

// objects are a token's, by handle. A handle means the same object for as long as the library is initialised.
type objects struct {
	byHandle map[uint64]*object
	handles  map[string]uint64    // by identity
	order    []uint64             // of all
	sessions []uint64             // of those of sessions
	index    map[string][]*object // of those on the token
}

func newObjects() objects {
	return objects{byHandle: map[uint64]*object{}, handles: map[string]uint64{}, index: map[string][]*object{}}
}

// refresh reads the store anew; files that did not change are not read again. Refused files are only logged: a quiet token is better than none.
func (t *token) refresh() {
	t.scanning.Lock()
	defer t.scanning.Unlock()
	all, err := t.keys.Keys()
	if err = errors.Join(err, t.readStored()); err != nil {
		t.library.log(err.Error())
	}
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	ofSessions := t.objects.ofSessions()
	t.objects.clear()
	for _, k := range all {
		t.addKey(k)
	}
	for _, o := range slices.Concat(t.stored, t.profiles(), ofSessions) {
		t.add(o)
	}
	t.scanned = true
	t.allPINs = len(all) > 0 && !slices.ContainsFunc(all, func(k *provider.Key) bool { return !k.HasPIN() })
}

// clear takes all objects out. Their handles stay theirs.
func (o *objects) clear() {
	clear(o.byHandle)
	clear(o.index)
	o.order, o.sessions = o.order[:0], nil
}

// refreshFor is refresh for the sake of the objects that a template may match: cheap, if it names an id or a label and no file came or went since.
func (t *token) refreshFor(wanted template) {
	if !t.isFreshFor(wanted) {
		t.refresh()
	}
}

func (t *token) isFreshFor(wanted template) bool {
	t.library.mu.Lock()
	candidates, indexed := t.objects.candidates(wanted)
	scanned := t.scanned
	t.library.mu.Unlock()
	if !scanned || !indexed || !t.keys.Unchanged() || !t.storedUnchanged() {
		return false
	}
	return !slices.ContainsFunc(candidates, func(o *object) bool { return o.owner == nil && o.key != nil && !t.keys.Fresh(o.key) })
}

// addKey adds the objects of a key.
func (t *token) addKey(k *provider.Key) {
	notes := readNotes(k.Notes())
	var certificate *x509.Certificate
	if t.keys.HasCertificate(k) {
		certificate, _ = x509.ParseCertificate(k.Certificate())
	}
	for _, class := range []uint64{CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_CERTIFICATE} {
		if class != CKO_CERTIFICATE || certificate != nil {
			if o := (&object{token: t, class: class, key: k, public: k.Public(), certificate: certificate, own: notes[class]}); !o.isHidden() {
				t.add(o)
			}
		}
	}
}

// identity is what makes two objects the same.
func (o *object) identity() string {
	switch {
	case o.owner != nil:
		return fmt.Sprintf("session %d", o.handle)
	case o.path != "":
		return o.path
	case o.class == CKO_PROFILE:
		return fmt.Sprintf("profile %d", o.profile)
	}
	return string(rune(o.class)) + string(o.public.N.Bytes()[:16]) + o.key.Path()
}

// add gives an object its handle. The caller holds the library's mu.
func (t *token) add(new *object) uint64 {
	if new.owner == nil {
		identity := new.identity()
		if t.objects.handles[identity] == 0 {
			t.library.lastObject++
			t.objects.handles[identity] = t.library.lastObject
		}
		new.handle = t.objects.handles[identity]
	} else if new.handle == 0 {
		t.library.lastObject++
		new.handle = t.library.lastObject
	}
	if t.objects.byHandle[new.handle] == nil {
		t.objects.put(new)
	}
	t.objects.byHandle[new.handle] = new
	return new.handle
}

// remove takes objects away. The caller holds the library's mu.
func (t *token) remove(which func(*object) bool) {
	kept := t.objects.order[:0]
	for _, handle := range t.objects.order {
		o := t.objects.byHandle[handle]
		if !which(o) {
			kept = append(kept, handle)
			continue
		}
		delete(t.objects.byHandle, handle)
		if o.owner == nil {
			delete(t.objects.handles, o.identity())
			t.scanned = false
		}
		if o.owner != nil && o.class == CKO_PRIVATE_KEY {
			t.keys.Forget(o.key)
			delete(t.tried, string(o.public.N.Bytes())) // a copy of it needs the PIN anew
		}
	}
	t.objects.order = kept
	t.objects.sessions = slices.DeleteFunc(t.objects.sessions, func(handle uint64) bool { return t.objects.byHandle[handle] == nil })
}

// object gives the object of a handle, if the session may see it.
func (s *session) object(handle uint64) *object {
	s.library.mu.Lock()
	defer s.library.mu.Unlock()
	o := s.token.objects.byHandle[handle]
	if o == nil || !s.token.shows(o) {
		return nil
	}
	return o
}

// shows tells whether an object can be seen: private ones of a token that wants a login, after that. The caller holds the library's mu.
func (t *token) shows(o *object) bool {
	return t.classic == nil || t.user == user || !o.is(CKA_PRIVATE)
}

// mayWrite tells whether a session may change what is on the token, or not.
func (s *session) mayWrite(onToken bool) CKR {
	if onToken && !s.readWrite {
		return CKR_SESSION_READ_ONLY
	}
	return CKR_OK
}

// getAttributeValue is C_GetAttributeValue (5.7): every attribute gets its length, whatever is wrong with another.
func getAttributeValue(s *session, r *request, out *response) CKR {
	o, n := s.object(r.number()), r.number()
	switch {
	case r.bad || n > maxAttributes:
		return CKR_ARGUMENTS_BAD
	case o == nil:
		return CKR_OBJECT_HANDLE_INVALID
	}
	worst := CKR_OK
	for range n {
		kind, to := attributeType(r.number()), r.room()
		value, rv := o.attribute(kind)
		if rv == CKR_OK {
			rv = out.attribute(to, value)
		} else {
			out.number(unavailable).bytes(nil)
		}
		if worst == CKR_OK {
			worst = rv
		}
	}
	if r.bad {
		return CKR_ARGUMENTS_BAD
	}
	return worst
}

// attribute is fill, except that a value that does not fit has no length either (5.7).
func (r *response) attribute(to room, value []byte) CKR {
	if to.wanted && to.size < uint64(len(value)) {
		r.number(unavailable).bytes(nil)
		return CKR_BUFFER_TOO_SMALL
	}
	return r.fill(to, value)
}

// getObjectSize is C_GetObjectSize (5.7): the bytes of all that the object tells.
func getObjectSize(s *session, r *request, out *response) CKR {
	o := s.object(r.number())
	if o == nil {
		return CKR_OBJECT_HANDLE_INVALID
	}
	size := 0
	for kind := range attributes {
		value, _ := o.attribute(kind)
		size += len(value)
	}
	out.number(uint64(size))
	return CKR_OK
}

// setAttributeValue is C_SetAttributeValue (5.7).
func setAttributeValue(s *session, r *request, _ *response) CKR {
	o, t := s.object(r.number()), r.template()
	switch {
	case r.bad || len(t) == 0:
		return CKR_ARGUMENTS_BAD
	case o == nil:
		return CKR_OBJECT_HANDLE_INVALID
	}
	if rv := s.mayWrite(o.owner == nil); rv != CKR_OK {
		return rv
	}
	if !o.is(CKA_MODIFIABLE) {
		return CKR_ACTION_PROHIBITED
	}
	if rv := t.check(o.class, changing); rv != CKR_OK {
		return rv
	}
	return s.library.returnValue("C_SetAttributeValue", o.token.change(o, t))
}

// change gives an object other values, on the disk first.
func (t *token) change(o *object, values template) error {
	changed := *o
	changed.own = map[attributeType][]byte{}
	for kind, value := range o.own {
		changed.own[kind] = value
	}
	changed.give(values)
	err := t.save(&changed)
	if err != nil || o.owner == nil {
		t.refresh()
		return err
	}
	t.library.mu.Lock()
	defer t.library.mu.Unlock()
	if t.objects.byHandle[o.handle] != nil {
		t.objects.byHandle[o.handle] = &changed // calls of other sessions may be looking at the old one
	}
	return nil
}

// save writes an object's values to its file, if it has one.
func (t *token) save(o *object) error {
	switch {
	case o.owner != nil:
		return nil
	case o.path != "":
		return writeStored(o)
	}
	_, err := t.keys.Note(o.key, o.note())
	return err
}

// destroyObject is C_DestroyObject (5.7).
func destroyObject(s *session, r *request, _ *response) CKR {
	o := s.object(r.number())
	if o == nil {
		return CKR_OBJECT_HANDLE_INVALID
	}
	if rv := s.mayWrite(o.owner == nil); rv != CKR_OK {
		return rv
	}
	if !o.is(CKA_DESTROYABLE) {
		return CKR_ACTION_PROHIBITED
	}
	return s.library.returnValue("C_DestroyObject", o.token.destroy(o))
}

// destroy deletes what an object is made of. A private key takes the files of its other parts along, which are of no use without it.
func (t *token) destroy(o *object) (err error) {
	switch {
	case o.owner != nil:
		t.library.mu.Lock()
		defer t.library.mu.Unlock()
		t.remove(func(other *object) bool { return other.handle == o.handle })
		return nil
	case o.path != "":
		err = removeStored(o)
	case o.class == CKO_PRIVATE_KEY:
		err = t.keys.Delete(o.key)
	case o.class == CKO_CERTIFICATE:
		err = t.keys.DetachCertificate(o.key)
	default:
		err = t.hide(o)
	}
	t.refresh()
	return err
}

func (o *object) isKey() bool { return classBits[o.class]&keys != 0 }

// equal tells whether two public keys are the same.
func equal(a, b *rsa.PublicKey) bool {
	return a != nil && b != nil && a.E == b.E && bytes.Equal(a.N.Bytes(), b.N.Bytes())
}
