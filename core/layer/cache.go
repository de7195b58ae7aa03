package layer

import "sync"

// A Cache keeps unpacked blocks of any number of layers in memory, the least
// recently used ones first to go. All its methods may be called concurrently.
type Cache struct {
	mu     sync.Mutex // leaf: guards everything below
	limit  int64
	size   int64
	nextID uint64
	byKey  map[cacheKey]*cached
	head   cached // ring: head.next is the most recently used

	hits, misses uint64
}

type cacheKey struct {
	layer uint64 // number of the Image in this cache
	off   int64
}

type cached struct {
	key        cacheKey
	raw        []byte
	n          int // values of a data block, entries of an index block
	prev, next *cached
}

// NewCache makes a cache of about limit bytes of blocks.
func NewCache(limit int64) *Cache {
	c := &Cache{limit: limit, byKey: map[cacheKey]*cached{}}
	c.head.prev, c.head.next = &c.head, &c.head
	return c
}

// Stats are the lookups that found a block and those that did not.
func (c *Cache) Stats() (hits, misses uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits, c.misses
}

// register gives a layer its number.
func (c *Cache) register() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nextID++
	return c.nextID
}

func (c *Cache) get(k cacheKey) (raw []byte, n int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[k]
	if e == nil {
		c.misses++
		return nil, 0, false
	}
	c.hits++
	e.unlink()
	c.pushFront(e)
	return e.raw, e.n, true
}

func (c *Cache) put(k cacheKey, raw []byte, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey[k] != nil {
		return
	}
	e := &cached{key: k, raw: raw, n: n}
	c.byKey[k] = e
	c.pushFront(e)
	c.size += int64(len(raw))
	for c.size > c.limit && c.head.prev != &c.head {
		old := c.head.prev
		old.unlink()
		delete(c.byKey, old.key)
		c.size -= int64(len(old.raw))
	}
}

func (e *cached) unlink() { e.prev.next, e.next.prev = e.next, e.prev }

func (c *Cache) pushFront(e *cached) {
	e.prev, e.next = &c.head, c.head.next
	e.prev.next, e.next.prev = e, e
}
