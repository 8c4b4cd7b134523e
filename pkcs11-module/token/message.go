package token

import "encoding/binary"

// A request is a flat message from the front: 64-bit numbers in the machine's byte order, and byte strings that begin with their length. Reading past
// the end, or a length that does not fit, makes it bad, and everything after that reads as nothing.
type request struct {
	rest []byte
	bad  bool
}

func (r *request) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *request) number() uint64 {
	if b := r.take(8); b != nil {
		return binary.NativeEndian.Uint64(b)
	}
	return 0
}

func (r *request) flag() bool { return r.number() != 0 }

func (r *request) bytes() []byte { return r.take(r.number()) }

// optional is a pointer that may be NULL, and what it points to.
func (r *request) optional() (b []byte, present bool) {
	present = r.flag()
	return r.bytes(), present
}

// room is what the host has for an answer: nothing but the wish to know its size, or so many bytes.
type room struct {
	wanted bool
	size   uint64
}

func (r *request) room() room { return room{r.flag(), r.number()} }

// mechanism reads a pointer to a CK_MECHANISM, which may be NULL.
func (r *request) mechanism() (use mechanismUse, present bool) {
	if !r.flag() {
		return mechanismUse{}, false
	}
	return mechanismUse{mechanismType(r.number()), parameters(r.bytes()), r.bytes()}, true
}

// neededMechanism is one without which a function has nothing to do.
func (r *request) neededMechanism() mechanismUse {
	use, present := r.mechanism()
	r.bad = r.bad || !present
	return use
}

const maxAttributes = 4096

// template reads what a host asks for or sets.
func (r *request) template() template {
	n := r.number()
	if n > maxAttributes {
		r.bad = true
		return nil
	}
	t := make(template, 0, min(n, 64))
	for ; n > 0 && !r.bad; n-- {
		t = append(t, attribute{attributeType(r.number()), r.bytes()})
	}
	return t
}

// A response is a message for the front.
type response struct{ b []byte }

func (r *response) number(v uint64) *response {
	r.b = binary.NativeEndian.AppendUint64(r.b, v)
	return r
}

func (r *response) bytes(b []byte) *response {
	r.number(uint64(len(b)))
	r.b = append(r.b, b...)
	return r
}

// padded is a text of fixed size, filled up with blanks and never ended by NUL (PKCS #11 v2.40, 3.1).
func (r *response) padded(text string, size int) *response {
	r.number(uint64(size))
	for i := range size {
		c := byte(' ')
		if i < len(text) {
			c = text[i]
		}
		r.b = append(r.b, c)
	}
	return r
}

func (r *response) version(major, minor uint64) *response { return r.number(major).number(minor) }

// fill answers into a host's room (PKCS #11 v2.40, 5.2): the size always, the bytes if they were wanted and fit.
func (r *response) fill(to room, b []byte) CKR {
	r.number(uint64(len(b)))
	switch {
	case !to.wanted:
		r.bytes(nil)
		return CKR_OK
	case to.size < uint64(len(b)):
		r.bytes(nil)
		return CKR_BUFFER_TOO_SMALL
	}
	r.bytes(b)
	return CKR_OK
}

// list is fill for numbers.
func list[T ~uint64](r *response, to room, values []T) CKR {
	r.number(uint64(len(values)))
	switch {
	case !to.wanted:
		r.number(0)
		return CKR_OK
	case to.size < uint64(len(values)):
		r.number(0)
		return CKR_BUFFER_TOO_SMALL
	}
	r.number(uint64(len(values)))
	for _, v := range values {
		r.number(uint64(v))
	}
	return CKR_OK
}
