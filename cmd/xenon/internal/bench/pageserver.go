package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"xenon/core"
	"xenon/core/pageserver"
)

// A pageserverAt is a pageserver's management of one timeline.
type pageserverAt struct {
	addr string
	id   core.TTID
}

// info asks how the timeline is.
func (p pageserverAt) info(ctx context.Context) (i pageserver.TimelineInfo, err error) {
	return i, p.call(ctx, "GET", "", nil, &i)
}

// reach waits until the timeline is there and has lsn.
func (p pageserverAt) reach(ctx context.Context, lsn core.LSN) error {
	return await(ctx, fmt.Sprintf("the pageserver to have %s", lsn), 10*time.Millisecond, func() (bool, error) {
		i, err := p.info(ctx)
		if err == nil && i.Reason != "" {
			return false, fmt.Errorf("ingest stopped: %s", i.Reason)
		}
		return err == nil && i.LastRecord >= lsn, nil
	})
}

// attach makes the pageserver serve the timeline.
func (p pageserverAt) attach(ctx context.Context, safekeepers []string) error {
	path := fmt.Sprintf("http://%s/v1/tenant/%s/timeline", p.addr, p.id.Tenant)
	return call(ctx, "POST", path, pageserver.AttachRequest{Timeline: p.id.Timeline, Safekeepers: safekeepers}, nil)
}

// checkpoint flushes what is in memory, and waits for its upload if asked to.
func (p pageserverAt) checkpoint(ctx context.Context, upload bool) error {
	return p.call(ctx, "PUT", fmt.Sprintf("/checkpoint?wait_upload=%t", upload), nil, nil)
}

func (p pageserverAt) call(ctx context.Context, method, path string, body, out any) error {
	return call(ctx, method, fmt.Sprintf("http://%s/v1/tenant/%s/timeline/%s%s", p.addr, p.id.Tenant, p.id.Timeline, path), body, out)
}

// call asks over HTTP, JSON both ways.
func call(ctx context.Context, method, url string, body, out any) error {
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		text = string(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(text))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = errors.New(strings.TrimSpace(string(answer)))
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
