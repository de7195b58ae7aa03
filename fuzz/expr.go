package fuzz

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"xenon/core"
)

// An Expr is a condition on what can be seen of a run at one moment, as in
//
//	commit_lsn(sk1) > 0/3000 && !running(ps1)
//
// It has numbers, LSNs, times (1.5s), the functions of [Observables], + and -,
// comparisons, !, &&, || and parentheses. Everything is a number; what is true
// is 1.
type Expr struct {
	text string
	eval func(*sight) int64
}

func (x *Expr) String() string { return x.text }

// A sight is what an expression is about: a run, and the first name in the
// expression that means nothing in it.
type sight struct {
	r   *run
	err error
}

// holds tells whether the condition is met.
func (x *Expr) holds(r *run) (bool, error) {
	s := &sight{r: r}
	v := x.eval(s)
	return v != 0, s.err
}

// ParseExpr reads an expression.
func ParseExpr(text string) (*Expr, error) {
	if len(text) > maxExpr {
		return nil, fmt.Errorf("expression of %d bytes: want %d at most", len(text), maxExpr)
	}
	p := &exprParser{words: splitExpr(text)}
	eval, err := p.either()
	if err == nil && p.peek() != "" {
		err = fmt.Errorf("%q is left over", p.peek())
	}
	if err != nil {
		return nil, fmt.Errorf("expression %q: %w", text, err)
	}
	return &Expr{text, eval}, nil
}

const (
	maxExpr = 1000
	// maxDepth bounds the parentheses within parentheses.
	maxDepth = 50
)

// signs are longest first.
var signs = []string{"||", "&&", "<=", ">=", "==", "!=", "<", ">", "!", "+", "-", "(", ")", ","}

// splitExpr makes words of a text. A name may contain -, ., / and _ as those of
// branches and LSNs do, so a minus has a space before it.
func splitExpr(text string) (words []string) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		n := len(text) - len(strings.TrimLeftFunc(text, func(c rune) bool {
			return c == '_' || c == '/' || c == '.' || unicode.IsLetter(c) || unicode.IsDigit(c) || c == '-'
		}))
		if sign := slices.IndexFunc(signs, func(s string) bool { return strings.HasPrefix(text, s) }); sign >= 0 {
			n = len(signs[sign])
		}
		n = max(n, 1)
		words, text = append(words, text[:n]), text[n:]
	}
	return words
}

type exprParser struct {
	words []string
	depth int
}

func (p *exprParser) peek() string {
	if len(p.words) == 0 {
		return ""
	}
	return p.words[0]
}

func (p *exprParser) next() string {
	w := p.peek()
	p.words = p.words[min(1, len(p.words)):]
	return w
}

type evaluate = func(*sight) int64

func (p *exprParser) either() (evaluate, error) {
	return p.chain((*exprParser).both, map[string]func(a, b int64) int64{"||": func(a, b int64) int64 { return truth(a != 0 || b != 0) }})
}

func (p *exprParser) both() (evaluate, error) {
	return p.chain((*exprParser).compared, map[string]func(a, b int64) int64{"&&": func(a, b int64) int64 { return truth(a != 0 && b != 0) }})
}

func (p *exprParser) compared() (evaluate, error) {
	return p.chain((*exprParser).sum, map[string]func(a, b int64) int64{
		"<": func(a, b int64) int64 { return truth(a < b) }, "<=": func(a, b int64) int64 { return truth(a <= b) },
		">": func(a, b int64) int64 { return truth(a > b) }, ">=": func(a, b int64) int64 { return truth(a >= b) },
		"==": func(a, b int64) int64 { return truth(a == b) }, "!=": func(a, b int64) int64 { return truth(a != b) },
	})
}

func (p *exprParser) sum() (evaluate, error) {
	return p.chain((*exprParser).one, map[string]func(a, b int64) int64{
		"+": func(a, b int64) int64 { return a + b }, "-": func(a, b int64) int64 { return a - b },
	})
}

// chain reads parts joined by some signs, from left to right.
func (p *exprParser) chain(part func(*exprParser) (evaluate, error), joined map[string]func(a, b int64) int64) (evaluate, error) {
	left, err := part(p)
	for err == nil && joined[p.peek()] != nil {
		join, a := joined[p.next()], left
		var b evaluate
		b, err = part(p)
		left = func(s *sight) int64 { return join(a(s), b(s)) }
	}
	return left, err
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// one reads a value.
func (p *exprParser) one() (evaluate, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("more than %d parentheses and negations within each other", maxDepth)
	}
	defer func() { p.depth-- }()
	switch w := p.next(); {
	case w == "":
		return nil, fmt.Errorf("it ends where a value should be")
	case w == "!":
		of, err := p.one()
		return func(s *sight) int64 { return truth(of(s) == 0) }, err
	case w == "(":
		in, err := p.either()
		if err == nil && p.next() != ")" {
			err = fmt.Errorf("a ) is missing")
		}
		return in, err
	case slices.Contains(signs, w):
		return nil, fmt.Errorf("%q stands where a value should be", w)
	case '0' <= w[0] && w[0] <= '9':
		return constant(w)
	default:
		return p.call(w)
	}
}

// constant reads a number, an LSN or a time.
func constant(w string) (evaluate, error) {
	var v int64
	if n, err := strconv.ParseInt(w, 0, 64); err == nil {
		v = n
	} else if lsn, err := core.ParseLSN(w); err == nil {
		v = int64(lsn)
	} else if d, err := time.ParseDuration(w); err == nil {
		v = int64(d)
	} else {
		return nil, fmt.Errorf("%q is no number, no LSN and no time", w)
	}
	return func(*sight) int64 { return v }, nil
}

// call reads the arguments of a function: nothing, a name, or two names.
func (p *exprParser) call(name string) (evaluate, error) {
	i := slices.IndexFunc(observables, func(o observable) bool { return o.name == name })
	if i < 0 {
		return nil, fmt.Errorf("nothing is called %q: there is %s", name, strings.Join(observableNames(), ", "))
	}
	o := observables[i]
	var args []string
	if p.peek() == "(" {
		for p.next(); p.peek() != ")"; {
			arg := p.next()
			if arg == "" || slices.Contains(signs, arg) {
				return nil, fmt.Errorf("%s: %q is no name; want %s", name, arg, o.form)
			}
			args = append(args, arg)
			if sep := p.peek(); sep == "," {
				p.next()
			} else if sep != ")" {
				return nil, fmt.Errorf("the ) of %s is missing", name)
			}
		}
		p.next()
	}
	if len(args) < o.least || len(args) > o.most {
		return nil, fmt.Errorf("%s has %d arguments, want %s", name, len(args), o.form)
	}
	return func(s *sight) int64 { return o.look(s, args) }, nil
}
