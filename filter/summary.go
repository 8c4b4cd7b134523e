package filter

import (
	"strings"

	"tpmkey.example/rm/wire"
)

// Count tells how many of the commands that are known here reach the chip, under some condition, and how many the manager answers itself.
func (f *Filter) Count() (chip, answered int) {
	for _, shape := range wire.Shapes() {
		switch {
		case f.Allows(shape.Code) && f.Answers(shape.Code):
			answered++
		case f.Allows(shape.Code):
			chip++
		}
	}
	return chip, answered
}

// Purpose is what the profile is for, or what each of them is for.
func (f *Filter) Purpose() string {
	texts := make([]string, len(f.profiles))
	for i, p := range f.profiles {
		texts[i] = p.reason
	}
	return strings.Join(texts, "; ")
}
