package redo

// setClogStatus writes the 2 bits of a transaction.
func setClogStatus(p *Page, index int, status uint8) {
	shift := 2 * (index % 4)
	p[index/4] = p[index/4]&^(3<<shift) | status&3<<shift
}

// setMember writes a multixact's member: its status byte and its xid in the
// group it belongs to (MXOffsetToFlagsOffset, MXOffsetToMemberOffset).
func setMember(p *Page, index int, status uint8, xid uint32) {
	group := index / 4 * memberGroupSize
	p[group+index%4] = status
	put32(p[:], group+4+4*(index%4), xid)
}

// setCommitTs writes a transaction's commit time and replication origin.
func setCommitTs(p *Page, index int, time uint64, origin uint16) {
	put64(p[:], index*commitTsSize, time)
	put16(p[:], index*commitTsSize+8, origin)
}
