package picture_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"xenon/core/env"
	"xenon/diskdrv"
	"xenon/netsim"
	"xenon/netsim/picture"
)

// words reads the messages of the test's program, which are words.
type words struct{}

func (words) Message(_ uint64, _, _ string, data []byte) picture.Label {
	l := picture.Label{Kind: "word", Text: string(data)}
	if bytes.HasPrefix(data, []byte("vote")) {
		l.Kind, l.Weight = "vote", picture.Telling
	}
	return l
}

func (words) Note(r *picture.Recorder, d *netsim.Detail) bool {
	if d.Kind != "leads" {
		return false
	}
	r.Focus()
	r.Role(r.Lane(d.Proc), "leader", fmt.Sprintf("leads %d", d.A), d.A)
	r.Value("main", "commit", r.Lane(d.Proc), 100+d.A)
	return true
}

// record runs two processes: one asks, one writes and answers; then one dies.
// skip leaves the partition out.
func record(t *testing.T, asks int, skip bool) *picture.Recorder {
	t.Helper()
	rec := picture.New(words{}, "client", "server")
	w := netsim.New(netsim.Options{Seed: 1, Record: rec.Record})
	server := w.Proc("server", netsim.ProcOptions{Disk: diskdrv.DiskIn(w, "server", 0, diskdrv.Faults{})})
	server.Start(serve)
	client := w.Proc("client", netsim.ProcOptions{})
	client.Start(func(ctx context.Context, e env.Env) error { return ask(ctx, e, asks) })
	if !skip {
		w.After(20*time.Millisecond, func() { w.Partition([]string{"client"}, []string{"server"}) })
		w.After(30*time.Millisecond, w.HealAll)
	}
	w.After(2*time.Second, server.Kill)
	if err := w.Run(3*time.Second, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return rec
}

func serve(ctx context.Context, e env.Env) error {
	l, err := e.Net().Listen(ctx, ":80")
	if err != nil {
		return err
	}
	e.Trace().Note("leads", 7, 0, 0, 0)
	c, err := l.Accept()
	if err != nil {
		return err
	}
	f, err := e.FS().Open("log", env.Create|env.Write)
	if err != nil {
		return err
	}
	buf := make([]byte, 100)
	for n := int64(0); ; n++ {
		k, err := c.Read(buf)
		if err != nil {
			return e.Clock().Sleep(ctx, time.Hour)
		}
		if _, err := f.WriteAt(buf[:k], n*100); err != nil {
			return err
		}
		if _, err := c.Write([]byte("yes </script> & \"so\"")); err != nil {
			return nil
		}
	}
}

func ask(ctx context.Context, e env.Env, asks int) error {
	c, err := e.Net().Dial(ctx, "server:80")
	if err != nil {
		return err
	}
	buf := make([]byte, 100)
	for i := range asks {
		word := fmt.Sprintf("ask %d", i)
		if i == 3 {
			word = "vote for me"
		}
		if _, err := c.Write([]byte(word)); err != nil {
			return nil
		}
		if _, err := c.Read(buf); err != nil {
			return nil
		}
	}
	e.Log().Warn("that was all", "asks", asks)
	return nil
}

func draw(t *testing.T, rec *picture.Recorder, lim picture.Limits) *picture.Picture {
	t.Helper()
	p := rec.Picture(3*time.Second, 2*time.Second, 2*time.Second, lim)
	p.Title, p.Verdict, p.Failed = "a test", "FAILED: on purpose", true
	p.Story = []picture.Line{{At: picture.Never, Text: "two processes"}, {At: time.Millisecond, Text: "one </script> asks", Kind: "wrong"}}
	p.Pages = []picture.Page{{Name: "Plan", Text: "nothing"}}
	return p
}

func TestRecorderDrawsWhatHappened(t *testing.T) {
	p := draw(t, record(t, 40, false), picture.DefaultLimits)
	if p.Lanes[0].Name != "client" || p.Lanes[1].Name != "server" {
		t.Fatalf("lanes %v, want client and server first", p.Lanes)
	}
	server := p.Lanes[1]
	if len(server.Alive) != 1 || server.Alive[0].Text != "kill" || server.Alive[0].To != 2*time.Second {
		t.Errorf("server lived %+v, want one incarnation, killed at 2 s", server.Alive)
	}
	if len(server.Roles) != 1 || server.Roles[0].Text != "leads 7" || server.Roles[0].To != 2*time.Second {
		t.Errorf("roles of the server %+v, want one that ends with it", server.Roles)
	}
	asked, answered := 0, 0
	for _, a := range p.Arrows {
		switch {
		case a.Kind == "close" || a.Kind == "reset":
		case a.Arrived == picture.Never:
			t.Errorf("%s never arrives", a.Text)
		case a.Arrived <= a.Sent:
			t.Errorf("%s arrives at %s, before it was sent at %s", a.Text, a.Arrived, a.Sent)
		case a.From == 0:
			asked++
		default:
			answered++
		}
	}
	if asked != 40 || answered != 40 {
		t.Errorf("%d questions and %d answers, want 40 of each", asked, answered)
	}
	kinds := map[string]int{}
	for _, m := range p.Marks {
		kinds[m.Kind]++
	}
	if kinds["disk write"] != 40 || kinds["note log"] != 1 {
		t.Errorf("marks %v, want 40 disk writes and one line of the log", kinds)
	}
	cuts := 0
	for _, b := range p.Bands {
		if b.Kind == "cut" && b.From == 20*time.Millisecond && b.To == 30*time.Millisecond {
			cuts++
		}
	}
	if cuts != 2 {
		t.Errorf("bands %+v, want two of the partition", p.Bands)
	}
	if len(p.Series) != 1 || p.Series[0].Value[0] != 107 {
		t.Errorf("series %+v, want one point of 107", p.Series)
	}
}

func TestWhatIsLeftOutIsSaid(t *testing.T) {
	p := draw(t, record(t, 400, true), picture.Limits{Arrows: 50, Marks: 20, Points: 10, Calls: 10})
	if len(p.Arrows) != 50 || len(p.Marks) != 20 || len(p.Omitted) != 2 {
		t.Fatalf("%d arrows, %d marks, left out: %q", len(p.Arrows), len(p.Marks), p.Omitted)
	}
	if !strings.Contains(p.Omitted[0], "50 of 80") {
		t.Errorf("%q does not tell how many there were", p.Omitted[0])
	}
	vote := false
	for _, a := range p.Arrows {
		vote = vote || a.Kind == "vote"
	}
	if !vote {
		t.Error("the one message that tells is left out")
	}
	all := 0
	for _, n := range p.Lanes[1].Load {
		all += n
	}
	if all < 1200 {
		t.Errorf("the load of the server counts %d events, want all: 400 questions, answers and writes", all)
	}
}

func TestDifferenceIsTheFirst(t *testing.T) {
	if _, _, _, differ := picture.Difference(record(t, 40, false), record(t, 40, false)); differ {
		t.Error("a run differs from itself")
	}
	at, this, other, differ := picture.Difference(record(t, 40, false), record(t, 40, true))
	if !differ || at != 20*time.Millisecond || this == other {
		t.Errorf("differ %v at %s: %q and %q, want the partition at 20 ms", differ, at, this, other)
	}
}

var outside = regexp.MustCompile(`(?i)(src|href)\s*=\s*["']?(https?:|//)|@import|url\(|fetch\(|XMLHttpRequest|import\(`)

func page(t *testing.T, both bool) string {
	t.Helper()
	p := draw(t, record(t, 40, false), picture.DefaultLimits)
	var other *picture.Picture
	if both {
		other = draw(t, record(t, 40, true), picture.DefaultLimits)
	}
	var b bytes.Buffer
	if err := picture.Write(&b, p, other); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPageHoldsEverything(t *testing.T) {
	html := page(t, true)
	if s := outside.FindString(html); s != "" {
		t.Errorf("the page asks for something outside: %q", s)
	}
	if i := strings.Index(html, "{{"); i >= 0 {
		t.Errorf("a place was not filled: %q", html[i:i+20])
	}
	if n := strings.Count(html, "</script>"); n != 2 {
		t.Errorf("%d ends of script elements, want those of data and program alone", n)
	}
	_, data, _ := strings.Cut(html, `<script id="data" type="application/json">`)
	data, _, _ = strings.Cut(data, "</script>")
	var runs []struct {
		Title, Verdict string
		Texts          []string
		Arrows         [][]int64
		Lanes          []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(data), &runs); err != nil {
		t.Fatal(err)
	}
	if len(runs) != 2 || runs[0].Title != "a test" || len(runs[0].Lanes) != 2 || len(runs[0].Arrows) != 7 || len(runs[0].Arrows[0]) < 80 {
		t.Errorf("the data lacks something: %+v", runs[0].Lanes)
	}
}

func TestPerfettoIsATrace(t *testing.T) {
	var b bytes.Buffer
	if err := picture.WritePerfetto(&b, draw(t, record(t, 40, false), picture.DefaultLimits)); err != nil {
		t.Fatal(err)
	}
	var trace struct {
		TraceEvents []struct {
			Ph   string
			PID  int
			ID   int
			Args map[string]any
		}
	}
	if err := json.Unmarshal(b.Bytes(), &trace); err != nil {
		t.Fatal(err)
	}
	begun, ended := map[int]bool{}, map[int]bool{}
	kinds := map[string]int{}
	for _, e := range trace.TraceEvents {
		kinds[e.Ph]++
		switch e.Ph {
		case "s":
			begun[e.ID] = true
		case "f":
			ended[e.ID] = true
		}
	}
	if len(begun) < 80 || len(begun) != len(ended) || kinds["C"] != 1 || kinds["M"] == 0 || kinds["X"] == 0 {
		t.Errorf("kinds of events %v, %d arrows begin, %d end", kinds, len(begun), len(ended))
	}
}

// TestPageRunsInABrowser opens the page: its program runs to its end, without an
// error, and draws the story and the lanes.
func TestPageRunsInABrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("skipped: needs chromium (apt-get install chromium)") // no setting makes this a failure: Go's other tests look at the page, too
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "page.html")
	html := strings.Replace(page(t, true), "<script id=", `<script>window.onerror = m => { document.body.dataset.error = m; }</script><script id=`, 1)
	if err := os.WriteFile(file, []byte(html), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+filepath.Join(dir, "profile"), "--virtual-time-budget=3000", "--dump-dom", "file://"+file)
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("skipped: %s does not start here: %v", browser, err)
	}
	dom := string(out)
	if _, bad, ok := strings.Cut(dom, "data-error="); ok {
		t.Errorf("the program fails: %s", bad[:min(200, len(bad))])
	}
	for _, want := range []string{`data-ready="yes"`, `two processes`, `FAILED: on purpose`, `class="event`, `<canvas`} {
		if !strings.Contains(dom, want) {
			t.Errorf("the page does not have %s", want)
		}
	}
}
