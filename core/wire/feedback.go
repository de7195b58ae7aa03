package wire

import "xenon/consensus"

// Keys of the block (neondatabase/neon:libs/utils/src/pageserver_feedback.rs),
// with the aliases that its C parser knows.
const (
	keySize       = "current_timeline_size"
	keyReceived   = "ps_writelsn"
	keyDisk       = "ps_flushlsn"
	keyRemote     = "ps_applylsn"
	keyTime       = "ps_replytime"
	keyShard      = "shard_number"
	keyCorruption = "corruption_detected"
)

// AppendFeedback encodes f as the block of keys and values that travels at the
// end of an AppendResponse and in a feedback message.
func AppendFeedback(dst []byte, f *consensus.PageserverFeedback) []byte {
	pairs := len(dst)
	dst = append(dst, 5)
	dst = appendPair(dst, keySize, f.TimelineSize)
	dst = appendPair(dst, keyReceived, uint64(f.LastReceived))
	dst = appendPair(dst, keyDisk, uint64(f.DiskConsistent))
	dst = appendPair(dst, keyRemote, uint64(f.RemoteConsistent))
	dst = appendPair(dst, keyTime, uint64(f.ReplyTime))
	if f.Shard > 0 {
		dst[pairs]++
		dst = append(appendKey(dst, keyShard), 0, 0, 0, 4)
		dst = be.AppendUint32(dst, f.Shard)
	}
	if f.Corruption {
		dst[pairs]++
		dst = append(appendKey(dst, keyCorruption), 0, 0, 0, 1, 1)
	}
	return dst
}

func appendKey(dst []byte, key string) []byte { return append(append(dst, key...), 0) }

func appendPair(dst []byte, key string, v uint64) []byte {
	dst = append(appendKey(dst, key), 0, 0, 0, 8)
	return be.AppendUint64(dst, v)
}

// DecodeFeedback reads a whole block; keys it does not know are skipped.
func DecodeFeedback(b []byte) (f consensus.PageserverFeedback, err error) {
	d := decoder{b: b}
	for n := d.u8(); n > 0 && !d.fail; n-- {
		key := d.str()
		v := decoder{b: d.bytes(int(d.u32()))}
		switch key {
		case keySize:
			f.TimelineSize = v.u64()
		case keyReceived, "last_received_lsn":
			f.LastReceived = v.lsn()
		case keyDisk, "disk_consistent_lsn":
			f.DiskConsistent = v.lsn()
		case keyRemote, "remote_consistent_lsn":
			f.RemoteConsistent = v.lsn()
		case keyTime, "replytime":
			f.ReplyTime = int64(v.u64())
		case keyShard:
			f.Shard = v.u32()
		case keyCorruption:
			f.Corruption = v.u8() != 0
		default:
			v = decoder{}
		}
		if !d.fail {
			if err := v.done("pageserver feedback " + key); err != nil {
				return f, err
			}
		}
	}
	return f, d.done("pageserver feedback")
}
