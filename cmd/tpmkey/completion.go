package main

import (
	"flag"
	"fmt"
	"regexp"
	"strings"

	"tpmkey.example/filter"
)

const completionDetails = `
Prints a script that lets a shell complete commands, flags and the names of keys:

  source <(tpmkey completion bash)                     in ~/.bashrc
  tpmkey completion zsh  >~/.zfunc/_tpmkey             where fpath has ~/.zfunc
  tpmkey completion fish >~/.config/fish/completions/tpmkey.fish

Installing tpmkey for the whole system puts them where the shells look.
`

// shells are the scripts by the names of the shells.
var shells = map[string]func([]completions) string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}

func runCompletion(t *tool, args []string) error {
	if len(args) != 1 || shells[args[0]] == nil {
		return usageError("it takes the name of a shell: bash, zsh or fish")
	}
	_, err := fmt.Fprint(t.stdout, shells[args[0]](allCompletions()))
	return err
}

// What can stand at a place of the command line: these, or words.
const (
	noPlace      = ""
	anyFile      = "files"
	anyDirectory = "directories"
	anyKey       = "keys"
	anyCommand   = "commands"
)

// A place is what can stand there.
type place struct {
	kind  string
	words []string // instead of a kind
}

// completions are what a verb takes.
type completions struct {
	verb     *verb
	switches []string // flags without a value
	valued   []valuedFlag
	operand  place // the first one
	after    []after
}

// after is what follows a first operand. What is not in a table is a file.
type after struct {
	first string
	place place
}

// seconds are what follow first operands, by verb.
var seconds = map[string][]after{
	"filter":    {{"show", place{words: filter.Names()}}, {"explain", place{words: filter.CommandNames()}}},
	"namespace": {{"show", place{}}, {"test", place{}}},
	"migrate":   {{"export", place{kind: anyKey}}},
}

type valuedFlag struct {
	name  string
	value place
}

// values are what flags take that are not files, by name, or by verb and name.
var values = map[string]place{
	"dir":            {kind: anyDirectory},
	"hash":           {words: hashNames},
	"mgf":            {words: hashNames},
	"scheme":         {words: []string{schemePKCS1, schemePSS}},
	"decrypt scheme": {words: []string{schemeOAEP, schemePKCS1}},
	"bits":           {words: strings.Fields(strings.Trim(fmt.Sprint(keySizes), "[]"))},
	"exponent":       {}, "label": {}, "id": {}, "salt": {}, "days": {}, "subject": {}, "san": {}, "uid": {}, "parent": {}, "cgroup": {}, "chip": {}, "locality": {}, "user": {},
	"nonce": {}, "challenge": {}, "new": {},
	"attest ak": {kind: anyKey},
}

func allCompletions() []completions {
	var all []completions
	for i := range verbs {
		all = append(all, completionsOf(&verbs[i]))
	}
	return all
}

func completionsOf(v *verb) completions {
	c := completions{verb: v, operand: operandOf(v), after: seconds[v.name]}
	v.flagSet(&tool{}).VisitAll(func(f *flag.Flag) {
		if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
			c.switches = append(c.switches, f.Name)
			return
		}
		c.valued = append(c.valued, valuedFlag{f.Name, valueOf(v, f.Name)})
	})
	return c
}

func valueOf(v *verb, name string) place {
	if p, ok := values[v.name+" "+name]; ok {
		return p
	}
	if p, ok := values[name]; ok {
		return p
	}
	return place{kind: anyFile}
}

// flagsInUsage are in brackets.
var flagsInUsage = regexp.MustCompile(`\[(-[^]]*|FLAGS)\]`)

// operandOf reads what the usage says of the first argument: a capital word stands for something, small ones for themselves.
func operandOf(v *verb) place {
	var words []string
	for choice := range strings.SplitSeq(flagsInUsage.ReplaceAllString(v.arguments, ""), "|") {
		word, _, _ := strings.Cut(strings.TrimSpace(choice), " ")
		switch strings.Trim(word, "[]") {
		case "NAME", "OLD":
			if v.name == "new" {
				return place{}
			}
			return place{kind: anyKey}
		case "FILE":
			return place{kind: anyFile}
		case "COMMAND":
			return place{kind: anyCommand}
		case strings.ToLower(word):
			words = append(words, strings.Fields(word)...)
		}
	}
	return place{words: words}
}
