//go:build cgo

// The PKCS #11 module: a C front that hosts call, and this core, which the front calls with one flat message at a time.
package main

/*
#cgo CFLAGS: -Wall -Wextra -I/usr/include/p11-kit-1
#include "front.h"
*/
import "C"

import (
	"bytes"
	"os"
	"unsafe"

	"tpmkey.example/pkcs11-module/core"
)

// library is what all of the host's threads share. The front gives the host's name as the first argument.
var library = core.New(os.Args[0])

//export tpmkey_core
func tpmkey_core(request unsafe.Pointer, size C.size_t, response *unsafe.Pointer, responseSize *C.size_t) {
	answer := library.Call(bytes.Clone(unsafe.Slice((*byte)(request), int(size)))) // the front frees its own
	defer clear(answer)                                                            // perhaps a plaintext
	memory := C.tpmkey_memory(C.size_t(len(answer)))                               // C.CBytes ends the process when there is none
	if memory != nil {
		copy(unsafe.Slice((*byte)(memory), len(answer)), answer)
	}
	*response, *responseSize = memory, C.size_t(len(answer))
}

func main() {}
