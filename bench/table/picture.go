package table

import (
	"fmt"
	"io"
	"text/template"
)

// A panel is one row of the table as bars.
type panel struct {
	row, title string
	columns    []Column
}

// panels are what the picture shows: where less is better, whoever is better.
var panels = []panel{
	{"commands/login", "TPM commands for an ssh login", []Column{Tpmkey, TPM2PKCS11}},
	{"chip/login", "modelled: time of a discrete chip for an ssh login, ms", []Column{Tpmkey, TPM2PKCS11}},
	{"commands/sign-broker", "TPM commands for a signature, through a broker", []Column{Tpmkey, TPM2Abrmd}},
	{"chip/handshake-1.3", "modelled: time of a discrete chip for a TLS 1.3 handshake, ms", []Column{Tpmkey, GoKeyfiles, TPMKMS}},
	{"module/sign", "C_Sign on an emulated TPM, ms; SoftHSM2 has its keys in files", []Column{Tpmkey, TPM2PKCS11, SoftHSM2, Raw}},
	{"module/processors", "time of processors for a signature, in the host, ms", []Column{Tpmkey, TPM2PKCS11, SoftHSM2}},
	{"between/added", "time that the broker adds to a command, µs", []Column{Tpmkey, TPM2Abrmd}},
	{"module/list", "ssh-keygen -D over ssh-keygen -l, ms", []Column{Tpmkey, TPM2PKCS11, SoftHSM2}},
}

// Measures of the picture, in pixels.
const (
	width      = 760
	margin     = 16
	labelWidth = 130
	barLeft    = margin + labelWidth
	longest    = 400 // bar; behind it is its figure
	barHeight  = 14
	barStep    = 20
	titleStep  = 24
	panelSpace = 14
)

// A drawing is what the template takes.
type drawing struct {
	Width, Height int
	Texts         []text
	Bars          []bar
}

type text struct {
	X, Y  int
	Class string
	Is    string
}

type bar struct {
	Y, Length, Low, High int
	Class, Is            string
}

// WritePicture draws the picture as an SVG. Every row that it shows must be there.
func (t *Table) WritePicture(w io.Writer) error {
	d := &drawing{Width: width, Height: margin}
	d.say(margin, titleStep, "title", "tpmkey beside others: less is better")
	d.say(margin, titleStep, "figure", "bars are medians, lines the spread around them: of rounds, or of five chips whose times were published")
	for _, p := range panels {
		row, ok := t.Row(p.row)
		if !ok {
			return fmt.Errorf("draw the table: it has no row %s", p.row)
		}
		d.draw(p, row)
	}
	return picture.Execute(w, d)
}

// say writes a line of text and goes on below it.
func (d *drawing) say(x, step int, class, is string) {
	d.Texts = append(d.Texts, text{x, d.Height + barHeight - 2, class, is})
	d.Height += step
}

func (d *drawing) draw(p panel, r Row) {
	d.say(margin, titleStep, "what", p.title)
	scale := r.scale(p.columns)
	for _, c := range p.columns {
		length := d.bar(c, r.Cells[c], scale)
		d.Texts = append(d.Texts, text{margin, d.Height + barHeight - 3, "who", string(c)})
		d.say(barLeft+length+8, barStep, "figure", r.figure(c))
	}
	d.Height += panelSpace
}

// figure is what stands behind a bar.
func (r Row) figure(c Column) string {
	text := r.Cells[c].String()
	if c == Tpmkey && r.Missed() {
		text += fmt.Sprintf(", must be %s", r.Bound)
	}
	return text
}

// bar draws the median and the spread, and returns where it ends.
func (d *drawing) bar(c Column, cell Cell, scale float64) (end int) {
	if cell.Figure == nil {
		return 0
	}
	class := "peer"
	if c == Tpmkey {
		class = "ours"
	}
	pixels := func(v float64) int { return max(0, int(v*scale)) }
	b := bar{d.Height, max(1, pixels(cell.Median)), pixels(cell.Low), pixels(cell.High), class, string(c) + ": " + cell.String()}
	d.Bars = append(d.Bars, b)
	return max(b.Length, b.High)
}

// scale makes the longest bar or spread fit.
func (r Row) scale(columns []Column) float64 {
	most := 0.0
	for _, c := range columns {
		if cell := r.Cells[c]; cell.Figure != nil {
			most = max(most, cell.Median, cell.High)
		}
	}
	if most == 0 {
		return 0
	}
	return longest / most
}

// picture has colours for light and dark pages, and no script, font or file of elsewhere.
var picture = template.Must(template.New("picture").Funcs(template.FuncMap{
	"left":   func() int { return barLeft },
	"height": func() int { return barHeight },
	"add":    func(a, b int) int { return a + b },
	"minus":  func(a, b int) int { return a - b },
}).Parse(`<svg xmlns="http://www.w3.org/2000/svg" width="{{.Width}}" height="{{.Height}}" viewBox="0 0 {{.Width}} {{.Height}}" role="img" aria-label="tpmkey beside others">
<style>
.page { fill: #ffffff; stroke: #d0d7de }
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: bold; font-size: 15px }
.what { font-weight: bold }
.figure { fill: #59636e }
.ours { fill: #1a7f5a }
.peer { fill: #8c959f }
.spread { stroke: #1f2328; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117; stroke: #3d444d }
text { fill: #f0f6fc }
.figure { fill: #9198a1 }
.ours { fill: #3fb68b }
.peer { fill: #656c76 }
.spread { stroke: #f0f6fc }
}
</style>
<rect class="page" x="0.5" y="0.5" width="{{minus .Width 1}}" height="{{minus .Height 1}}" rx="6"/>
{{range .Bars}}<rect class="{{.Class}}" x="{{left}}" y="{{.Y}}" width="{{.Length}}" height="{{height}}"><title>{{html .Is}}</title></rect>
{{if ne .Low .High}}<path class="spread" d="M{{add left .Low}} {{add .Y 7}}H{{add left .High}}"/>
{{end}}{{end}}{{range .Texts}}<text class="{{.Class}}" x="{{.X}}" y="{{.Y}}">{{html .Is}}</text>
{{end}}</svg>
`))
