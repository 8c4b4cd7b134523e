package filter

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

// The text of a profile:
//
//	profile NAME [from NAME]: what it is for
//	    a setting
//	allow COMMAND: why
//	    SUBJECT is WORD, WORD or WORD
//	allow COMMAND to COMMAND: why
//
// One text means one profile: what can be read is printed back as it was, byte for byte.

const indent = "    "

// String is the text of the filter: of each of its profiles, with an empty line between them.
func (f *Filter) String() string {
	texts := make([]string, len(f.profiles))
	for i, p := range f.profiles {
		texts[i] = p.String()
	}
	return strings.Join(texts, "\n")
}

// String is the text of the profile as it was written: where it starts from another one, the differences.
func (p *profile) String() string {
	var b strings.Builder
	from := ""
	if p.base != nil {
		from = " from " + p.base.name
	}
	fmt.Fprintf(&b, "profile %s%s: %s\n", p.name, from, p.reason)
	for _, s := range settings {
		if *s.of(p) && (p.base == nil || !*s.of(p.base)) {
			fmt.Fprintf(&b, "%s%s\n", indent, s.text)
		}
	}
	for _, r := range p.rows {
		b.WriteString(r.String())
	}
	return b.String()
}

// String is the row and, on lines of their own, its conditions.
func (r *row) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s\n", r.verdict, r.commands(), r.reason)
	for _, l := range r.clauses {
		fmt.Fprintf(&b, "%s%s is %s\n", indent, l.subject, l.text())
	}
	return b.String()
}

// settings are what a profile says of all commands.
var settings = []struct {
	text string
	of   func(*profile) *bool
}{
	{"sessions may audit", func(p *profile) *bool { return &p.audit }},
	{"no lockout budget holds", func(p *profile) *bool { return &p.unbudgeted }},
}

func (r *row) commands() string {
	if r.first == r.last {
		return commandName(r.first)
	}
	if wire.ShapeOf(r.first) == nil || wire.ShapeOf(r.last) == nil { // a name and a number do not show that they are one range
		return hexCode(r.first) + " to " + hexCode(r.last)
	}
	return commandName(r.first) + " to " + commandName(r.last)
}

func commandName(code tpm2.TPMCC) string {
	if shape := wire.ShapeOf(code); shape != nil {
		return shape.Name
	}
	return hexCode(code)
}

func hexCode(code tpm2.TPMCC) string { return fmt.Sprintf("0x%X", uint32(code)) }

// join makes a list to be read: a, b or c.
func join(texts []string) string {
	if n := len(texts) - 1; n > 0 {
		return strings.Join(texts[:n], ", ") + " or " + texts[n]
	}
	return strings.Join(texts, "")
}

func split(list string) []string {
	return strings.Split(strings.Replace(list, " or ", ", ", 1), ", ")
}

// mostProfiles is how many a text may have: far more than any needs, and not so many that reading what a stranger sends takes long.
const mostProfiles = 64

// Parse reads the text of a filter: one profile, or several with an empty line between them, which must all agree. An error names the line.
func Parse(text string) (*Filter, error) {
	f := &Filter{}
	line := 1
	parts := splitProfiles(text)
	if len(parts) > mostProfiles {
		return nil, fmt.Errorf("%d profiles; a text has %d at most", len(parts), mostProfiles)
	}
	for _, part := range parts {
		p, err := parseProfile(part, line)
		if err != nil {
			return nil, err
		}
		f.profiles = append(f.profiles, p)
		line += strings.Count(part, "\n") + 1
	}
	return f, nil
}

// splitProfiles takes the empty lines out that stand between profiles.
func splitProfiles(text string) []string {
	parts := strings.Split(text, "\n\nprofile ")
	for i := range parts {
		if i > 0 {
			parts[i] = "profile " + parts[i]
		}
		if i < len(parts)-1 {
			parts[i] += "\n"
		}
	}
	return parts
}

// A reader is at one line of a profile.
type reader struct {
	profile *profile
	row     *row // nil: before the first
	line    int
}

func (r *reader) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d: %s", r.line, fmt.Sprintf(format, args...))
}

func parseProfile(text string, line int) (*profile, error) {
	lines := strings.Split(text, "\n")
	r := &reader{line: line}
	if err := r.checkLines(lines); err != nil {
		return nil, err
	}
	if lines[len(lines)-1] != "" {
		return nil, r.errorf("the last line does not end")
	}
	r.line = line
	if err := r.readHead(lines[0]); err != nil {
		return nil, err
	}
	for _, l := range lines[1 : len(lines)-1] {
		r.line++
		if err := r.readLine(l); err != nil {
			return nil, err
		}
	}
	r.profile.survey()
	return r.profile, r.compare(text, line)
}

// maxLine is how many bytes a line can have: enough to say all that there is, and still an error message that can be read.
const maxLine = 1000

// checkLines leaves the reader at the last line.
func (r *reader) checkLines(lines []string) error {
	for i, l := range lines {
		if i > 0 {
			r.line++
		}
		if len(l) > maxLine {
			return r.errorf("it has %d bytes; a line has at most %d", len(l), maxLine)
		}
		if !utf8.ValidString(l) {
			return r.errorf("it is not UTF-8")
		}
		for _, c := range l {
			if !unicode.IsPrint(c) {
				return r.errorf("%+q cannot be printed", c)
			}
		}
	}
	return nil
}

// compare makes sure that the text is the one that is printed: there is one way to say a thing.
func (r *reader) compare(text string, line int) error {
	want := strings.Split(r.profile.String(), "\n")
	for i, got := range strings.Split(text, "\n") {
		if i >= len(want) || got != want[i] {
			r.line = line + i
			return r.errorf("%q is not how this is written; write %q", got, want[min(i, len(want)-1)])
		}
	}
	return nil
}

func (r *reader) readHead(line string) error {
	rest, ok := strings.CutPrefix(line, "profile ")
	head, reason, found := strings.Cut(rest, ": ")
	if !ok || !found || !isReason(reason) {
		return r.errorf(`a profile begins with "profile NAME: what it is for"`)
	}
	name, base, derived := strings.Cut(head, " from ")
	if name == "" || strings.ContainsAny(name, " \"'/\\") {
		return r.errorf("%q is no name for a profile; choose one without spaces, quotes and slashes", name)
	}
	r.profile = &profile{name: name, reason: reason, index: map[tpm2.TPMCC]*row{}}
	if derived {
		f, err := Named(base)
		if err != nil {
			return r.errorf("%v", err)
		}
		r.profile.base = f.profiles[0]
		r.profile.audit, r.profile.unbudgeted = r.profile.base.audit, r.profile.base.unbudgeted
	}
	return nil
}

// isReason tells whether a text is one that does not begin or end with blanks.
func isReason(text string) bool { return text != "" && strings.TrimSpace(text) == text }

func (r *reader) readLine(line string) error {
	inner, indented := strings.CutPrefix(line, indent)
	switch {
	case !indented:
		return r.readRow(line)
	case r.row == nil:
		return r.readSetting(inner)
	}
	return r.readClause(inner)
}

func (r *reader) readSetting(line string) error {
	for _, s := range settings {
		if s.text == line {
			*s.of(r.profile) = true
			return nil
		}
	}
	return r.errorf("%q is no setting of a profile", line)
}

func (r *reader) readRow(line string) error {
	head, reason, found := strings.Cut(line, ": ")
	verdict, commands, ok := strings.Cut(head, " ")
	if !found || !ok || !isReason(reason) {
		return r.errorf(`%q is no row; a row is "allow COMMAND: why"`, line)
	}
	r.row = &row{reason: reason}
	for v := Deny; v <= Answer; v++ {
		if v.String() == verdict {
			r.row.verdict, ok = v, false
		}
	}
	if ok {
		return r.errorf("%q is no verdict; the verdicts are allow, answer and deny", verdict)
	}
	return r.addRow(commands)
}

func (r *reader) addRow(commands string) error {
	from, to, isRange := strings.Cut(commands, " to ")
	var err error
	if r.row.first, err = r.command(from); err != nil {
		return err
	}
	if r.row.last = r.row.first; isRange {
		if r.row.last, err = r.command(to); err != nil {
			return err
		}
	}
	switch {
	case isRange && r.row.last <= r.row.first:
		return r.errorf("%q is no range: it goes backwards", commands)
	case r.row.verdict == Answer && (isRange || !answerable[r.row.first]):
		return r.errorf("%s cannot be answered without the chip", commands)
	}
	for _, other := range r.profile.rows {
		if sameKind := (other.first == other.last) == !isRange; sameKind && other.first <= r.row.last && r.row.first <= other.last {
			return r.errorf("%s stands here a second time", commands)
		}
	}
	r.profile.rows = append(r.profile.rows, r.row)
	if !isRange {
		r.profile.index[r.row.first] = r.row
	}
	return nil
}

// answerable are the commands that a manager can answer by itself.
var answerable = map[tpm2.TPMCC]bool{
	tpm2.TPMCCHash: true, tpm2.TPMCCHashSequenceStart: true, tpm2.TPMCCSequenceUpdate: true, tpm2.TPMCCSequenceComplete: true,
	tpm2.TPMCCContextSave: true, tpm2.TPMCCContextLoad: true,
}

func (r *reader) command(text string) (tpm2.TPMCC, error) {
	code, ok := CommandNamed(text)
	if !ok {
		return 0, r.errorf("%q is no TPM command", text)
	}
	return code, nil
}

// CommandNamed finds a command by its name in Part 3, or by its code in hex.
func CommandNamed(name string) (tpm2.TPMCC, bool) {
	for _, shape := range wire.Shapes() {
		if shape.Name == name {
			return shape.Code, true
		}
	}
	var code uint32
	_, err := fmt.Sscanf(name, "0x%X", &code)
	return tpm2.TPMCC(code), err == nil && strings.EqualFold(fmt.Sprintf("0x%X", code), name)
}

// FindCommand finds a command as people write its name, in any case and with or without TPM2_ and underscores, or by its code in hex.
func FindCommand(name string) (tpm2.TPMCC, bool) {
	for _, shape := range wire.Shapes() {
		if plainName(shape.Name) == plainName(name) {
			return shape.Code, true
		}
	}
	return CommandNamed(strings.ToLower(name))
}

func plainName(name string) string {
	return strings.TrimPrefix(strings.ReplaceAll(strings.ToLower(name), "_", ""), "tpm2")
}

func (r *reader) readClause(line string) error {
	subject, list, ok := strings.Cut(line, " is ")
	if !ok {
		return r.errorf(`%q is no condition; a condition is "SUBJECT is WORD or WORD"`, line)
	}
	if r.row.verdict == Deny {
		return r.errorf("a denial has no conditions")
	}
	l := clause{subject: subject}
	if err := r.readSubject(&l); err != nil {
		return err
	}
	for _, text := range split(list) {
		w, ok := l.word(text)
		if known := l.vocabulary(); !ok && len(known) == 0 {
			return r.errorf("nothing can be said of %s", subject)
		} else if !ok {
			return r.errorf("%s cannot be %q; it can be %s", subject, text, join(known))
		}
		l.words = append(l.words, w)
	}
	for _, other := range r.row.clauses {
		if other.subject == subject {
			return r.errorf("%s stands here a second time", subject)
		}
	}
	r.row.clauses = append(r.row.clauses, l)
	return nil
}

// readSubject makes sure that the row's command has what the clause is about.
func (r *reader) readSubject(l *clause) error {
	if scans(l.subject, "handle %d", &l.handle) {
		if r.row.first != r.row.last || l.handle < 1 || l.handle > wire.ShapeOf(r.row.first).HandleCount() {
			return r.errorf("%s has no %s", r.row.commands(), l.subject)
		}
		return nil
	}
	if l.subject == "authorization" || l.subject == "caller" {
		return nil
	}
	if shape := wire.ShapeOf(r.row.first); r.row.first != r.row.last || shape == nil || !slices.Contains(shape.ParamNames(), l.subject) {
		return r.errorf("%s has nothing that is called %q", r.row.commands(), l.subject)
	}
	return nil
}

// word finds what a text means for the clause's subject.
func (l *clause) word(text string) (word, bool) {
	w := word{text: text}
	switch {
	case l.handle > 0:
		return handleWord(w)
	case l.subject == "caller":
		w.holds = callerWord(text)
	case l.subject == "authorization":
		if holds := authorizationWords[text]; holds != nil {
			w.holds = func(q query) bool { return holds(q.command) }
		}
	case publicSubjects[l.subject] && publicWords[text] != nil:
		holds := publicWords[text]
		w.holds = func(q query) bool {
			p, ok := wire.ParseSizedPublic(q.param)
			return ok && holds(p)
		}
	case paramWords[l.subject][text] != nil:
		holds := paramWords[l.subject][text]
		w.holds = func(q query) bool { return holds(q.param) }
	default:
		w.holds = numberWord(l.subject, text)
	}
	return w, w.holds != nil
}

var publicSubjects = map[string]bool{"inPublic": true, "objectPublic": true}

func handleWord(w word) (word, bool) {
	if own := handleWords[w.text]; own != nil {
		w.holds = func(q query) bool { return wire.IsTransient(q.handle) && q.held && (q.guess != nil || own(q.object)) }
		return w, true
	}
	if kind, ok := handleKinds[w.text]; ok {
		w.kind, w.whole = kind, true
		w.holds = func(q query) bool { return wire.HandleType(q.handle) == kind }
		return w, true
	}
	if w.text == "own session" {
		w.holds = func(q query) bool { return wire.IsAuthSession(q.handle) } // that it is one's own is universal
		return w, true
	}
	number, ok := handleNumbers[w.text]
	if !ok {
		var code tpm2.TPMCC
		code, ok = CommandNamed(w.text)
		if number = uint32(code); !ok || !wire.IsPersistent(number) || w.text != fmt.Sprintf("0x%08X", number) || number == wire.SRK {
			return w, false
		}
	}
	w.number = number
	w.holds = func(q query) bool { return q.handle == number && (q.held || !wire.IsPersistent(number)) }
	return w, true
}

// maxUID is the largest uid there is: (uid_t)-1 is none (chown(2), setresuid(2)).
const maxUID = 0xFFFFFFFE

func callerWord(text string) func(query) bool {
	var uid int
	switch {
	case text == "root":
	case !scans(text, "uid %d", &uid) || uid <= 0 || uint64(uid) > maxUID:
		return nil
	}
	return func(q query) bool { return q.guess.isAnybody() || q.holder.Caller() == uint32(uid) }
}

// vocabulary lists what a clause can say, for an error.
func (l *clause) vocabulary() (words []string) {
	switch {
	case l.handle > 0:
		words = slices.Concat(keys(handleNumbers), keys(handleKinds), keys(handleWords), []string{"own session", "0x81…"})
	case l.subject == "caller":
		return []string{"root", "uid N"}
	case l.subject == "authorization":
		return keys(authorizationWords)
	case publicSubjects[l.subject]:
		words = keys(publicWords)
	default:
		words = append(keys(paramWords[l.subject]), numberForms(l.subject)...)
	}
	return words
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
