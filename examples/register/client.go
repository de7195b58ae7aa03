package register

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"xenon/core/env"
	"xenon/core/xsync"
)

// A Client reads and writes keys. It has one call at a time.
type Client struct {
	env   env.Env
	id    uint64
	nodes []string
	bugs  Bugs
}

// NewClient makes a client of the nodes at these addresses. No other client,
// ever, has its id.
func NewClient(e env.Env, id uint64, nodes []string, bugs Bugs) *Client {
	return &Client{env: e, id: id, nodes: nodes, bugs: bugs}
}

// patience is how long one call waits for a majority.
const patience = time.Second

// ErrNoMajority is why a call that may have done something did not end well.
var ErrNoMajority = errors.New("no majority of nodes answers")

// Write gives a key a value. After an error the value may be there now, later,
// or never.
func (c *Client) Write(ctx context.Context, key, value string) error {
	newest, err := c.newest(ctx, key)
	if err != nil {
		return err
	}
	return c.store(ctx, key, Versioned{Stamp{newest.Count + 1, c.id}, value})
}

// Read is the value of a key, "" if it has none.
func (c *Client) Read(ctx context.Context, key string) (string, error) {
	newest, err := c.newest(ctx, key)
	if err != nil {
		return "", err
	}
	if newest.Count > 0 && !c.bugs.NoWriteBack {
		if err := c.store(ctx, key, newest); err != nil {
			return "", err
		}
	}
	return newest.Value, nil
}

// newest is the newest value that a majority has.
func (c *Client) newest(ctx context.Context, key string) (newest Versioned, err error) {
	lines, err := c.majority(ctx, fmt.Sprintf("get %q\n", key))
	for _, line := range lines {
		_, v, err := parse(line)
		if err != nil {
			return newest, fmt.Errorf("answer %q: %w", line, err)
		}
		if v.After(newest.Stamp) {
			newest = v
		}
	}
	return newest, err
}

// store gives a majority a value.
func (c *Client) store(ctx context.Context, key string, v Versioned) error {
	_, err := c.majority(ctx, "put "+v.line(key))
	return err
}

// majority asks all nodes at once, and returns the first answers that are a
// majority.
func (c *Client) majority(ctx context.Context, request string) ([]string, error) {
	ctx, cancel := xsync.WithTimeout(ctx, c.env, patience)
	defer cancel()
	answers := xsync.NewQueue[string](c.env, len(c.nodes))
	for _, addr := range c.nodes {
		c.env.Go("ask "+addr, func(context.Context) {
			if line, err := c.ask(ctx, addr, request); err == nil {
				answers.TryPush(line)
			}
		})
	}
	var got []string
	for len(got) <= len(c.nodes)/2 {
		line, err := answers.Pop(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %d of %d", ErrNoMajority, len(got), len(c.nodes))
		}
		got = append(got, line)
	}
	return got, nil
}

// ask sends one request to one node.
func (c *Client) ask(ctx context.Context, addr, request string) (string, error) {
	conn, err := c.env.Net().Dial(ctx, addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(c.env.Clock().Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}
