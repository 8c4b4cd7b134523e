package filter

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-tpm/tpm2"

	"tpmkey.example/rm/wire"
)

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
	code, ok := commandNamed(text)
	if !ok {
		return 0, r.errorf("%q is no TPM command", text)
	}
	return code, nil
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
