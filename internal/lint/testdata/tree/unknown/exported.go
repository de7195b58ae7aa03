package unknown

type Bare struct{}

func (Bare) Method()         {}
func (*Bare) String() string { return "" }

func Function() {}

type hidden[T any] struct{ X T }

func (*hidden[T]) Method() {}

// A Generic has a comment.
type Generic[T any] struct{ X T }

func (*Generic[T]) Method() {}

// A group.
const (
	One = iota
	Two
)

const (
	Three = 3 // has one
	Four  = 4
)

var five, Five = 5, 5
