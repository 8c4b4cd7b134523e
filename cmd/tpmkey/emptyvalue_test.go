package main

import (
	"errors"
	"flag"
	"io"
	"testing"
)

// No verb takes a flag with nothing for its value as one that was left out.
func TestNoEmptyValue(t *testing.T) {
	tried := 0
	for _, v := range verbs {
		v.flagSet(&tool{}).VisitAll(func(f *flag.Flag) {
			getter, ok := f.Value.(flag.Getter)
			if !ok || mayBeEmpty[f.Name] {
				return
			}
			if _, text := getter.Get().(string); !text {
				return
			}
			tried++
			var wrong usageError
			err := (&tool{stdout: io.Discard, stderr: io.Discard}).dispatch([]string{v.name, "-" + f.Name, "", "x"})
			if !errors.As(err, &wrong) {
				t.Errorf("tpmkey %s -%s '': %v", v.name, f.Name, err)
			}
		})
	}
	if want := 3 * len(verbs); tried <= want { // every verb has three of them
		t.Errorf("only %d flags", tried)
	}
}
