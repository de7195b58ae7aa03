// Package remote is where an installation's objects are: how that is said, how
// the store is opened, and the mark that keeps two installations from one
// store.
//
// Start at [Config] and [Claim].
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"xenon/cmd/xenon/internal/conf"
	"xenon/core/env"
	"xenon/realio"
	"xenon/realio/s3"
)

// A Config is the table remote_storage: a directory or a bucket of S3.
type Config struct {
	LocalPath string `toml:"local_path,omitempty" comment:"directory of the object store"`

	BucketName     string `toml:"bucket_name,omitempty" comment:"bucket of S3; credentials come from the environment or ~/.aws"`
	BucketRegion   string `toml:"bucket_region,omitempty"`
	PrefixInBucket string `toml:"prefix_in_bucket,omitempty"`
	Endpoint       string `toml:"endpoint,omitempty" comment:"URL of an S3 server that is not Amazon's"`

	// Keys of Azure's object store: known, so that they are not taken for
	// slips of the pen, and refused.
	ContainerName     string `toml:"container_name,omitempty" comment:"not supported yet"`
	StorageAccount    string `toml:"storage_account,omitempty"`
	ContainerRegion   string `toml:"container_region,omitempty"`
	PrefixInContainer string `toml:"prefix_in_container,omitempty"`

	// Installation is whose objects they are; "" takes anybody's.
	Installation string `toml:"installation,omitempty" comment:"id of the installation whose objects these are"`
}

// A Store is an object store that somebody has to close.
type Store interface {
	env.ObjectStore
	io.Closer
}

// Check says what is wrong with a Config.
func (c Config) Check() error {
	azure := c.ContainerName != "" || c.StorageAccount != "" || c.ContainerRegion != "" || c.PrefixInContainer != ""
	bucket := c.BucketName != "" || c.BucketRegion != "" || c.PrefixInBucket != "" || c.Endpoint != ""
	switch {
	case azure:
		return errors.New("remote_storage: Azure's object store is not supported yet: use local_path, or bucket_name with an S3 server")
	case c.LocalPath != "" && bucket:
		return errors.New("remote_storage: local_path and bucket_name are two object stores: want one of them")
	case c.LocalPath == "" && c.BucketName == "":
		return errors.New("want remote_storage.local_path, the directory of the object store, or remote_storage.bucket_name")
	}
	return nil
}

// ParseURL is the Config that --remote means: file:///path, or
// s3://bucket/prefix?endpoint=URL&region=NAME.
func ParseURL(text string) (c Config, err error) {
	u, err := url.Parse(text)
	if err != nil {
		return c, fmt.Errorf("%s: %w", text, err)
	}
	switch {
	case u.User != nil || u.Fragment != "":
		return c, fmt.Errorf("%s: want no @ and no #; credentials come from the environment or ~/.aws", u.Redacted())
	case u.Scheme == "file" && u.Host == "" && filepath.Clean(u.Path) != "/" && strings.HasPrefix(u.Path, "/") && u.RawQuery == "":
		return Config{LocalPath: filepath.Clean(u.Path)}, nil
	case u.Scheme != "s3" || u.Host == "" || u.Port() != "":
		return c, fmt.Errorf("%s: want file:///path or s3://bucket/prefix", text)
	}
	c = Config{BucketName: u.Host, PrefixInBucket: strings.Trim(u.Path, "/")}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return c, fmt.Errorf("%s: %w", text, err)
	}
	known := map[string]*string{"endpoint": &c.Endpoint, "region": &c.BucketRegion}
	for key, values := range query {
		to := known[key]
		if to == nil || len(values) != 1 {
			return c, fmt.Errorf("%s: %s: want endpoint and region after the question mark, each once", text, key)
		}
		*to = values[0]
	}
	return c, nil
}

// String is the Config as a URL.
func (c Config) String() string {
	if c.BucketName == "" {
		return (&url.URL{Scheme: "file", Path: c.LocalPath}).String()
	}
	u := url.URL{Scheme: "s3", Host: c.BucketName, Path: c.PrefixInBucket}
	var query []string
	for _, q := range []struct{ key, value string }{{"endpoint", c.Endpoint}, {"region", c.BucketRegion}} {
		if q.value != "" {
			query = append(query, q.key+"="+inQuery.Replace(url.QueryEscape(q.value)))
		}
	}
	u.RawQuery = strings.Join(query, "&")
	return u.String()
}

// inQuery keeps URLs readable where a query allows it.
var inQuery = strings.NewReplacer("%3A", ":", "%2F", "/")

// Same tells whether both name one place.
func (c Config) Same(o Config) bool {
	place := func(c Config) []string { return []string{c.LocalPath, c.BucketName, c.PrefixInBucket, c.Endpoint} }
	return slices.Equal(place(c), place(o))
}

// Open opens the store. It asks the store nothing: see [Verify].
func (c Config) Open(ctx context.Context) (Store, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.BucketName == "" {
		d, err := realio.DirStore(c.LocalPath)
		if err != nil {
			return nil, err // and no Store that holds a nil
		}
		return d, nil
	}
	s, err := s3.Open(ctx, s3.Config{Bucket: c.BucketName, Region: c.BucketRegion, Endpoint: c.Endpoint, Prefix: c.PrefixInBucket})
	if err != nil {
		return nil, err
	}
	return unclosed{s}, nil
}

// unclosed is a store that holds nothing.
type unclosed struct{ env.ObjectStore }

func (unclosed) Close() error { return nil }

// Load reads a Config that Save wrote; the zero Config if there is none.
func Load(file string) (c Config, err error) {
	err = conf.Load(file, nil, &c)
	return c, err
}
