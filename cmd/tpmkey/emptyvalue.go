package main

import (
	"flag"
	"fmt"
)

// mayBeEmpty are the flags with text for which nothing is a value too.
var mayBeEmpty = map[string]bool{"label": true}

// noEmptyValue refuses a flag that has nothing for its value. A shell's variable that was never set looks like that, and what was to be checked, or to lock a key,
// would be left out without a word.
func noEmptyValue(flags *flag.FlagSet) (err error) {
	flags.Visit(func(f *flag.Flag) {
		getter, ok := f.Value.(flag.Getter)
		if ok && getter.Get() == "" && !mayBeEmpty[f.Name] && err == nil {
			err = usageError(fmt.Sprintf("-%s has an empty value; leave it out, or see whether a variable of the shell is not set", f.Name))
		}
	})
	return err
}
