// Package modelcheck visits every state of a small model of the protocol:
// breadth first, so that what it finds wrong is found by the shortest way.
//
// The models are abstract: an action is what several messages do together, at
// once. The static one has a fixed set of acceptors; the reconfiguration model
// adds membership configurations, their register and the steps that change
// them. They follow Neon's TLA+ specifications (ProposerAcceptorStatic,
// ProposerAcceptorReconfig) with one difference: every donor among equals is
// tried, where the specifications pick one, so that the number of states does
// not depend on an order of names.
//
// States that differ only in the names of proposers and acceptors are one
// state. Start at [Run]; [Static] and [Reconfig] are the models.
//
// [RunReal] ties the models to package consensus: the same actions carried out
// by production acceptors, proposers and the driver of membership changes must
// lead to the same states. For changes of members that is the [Production] model,
// which is narrower than the specification where the code is.
//
// [RunWire] takes the actions apart: production acceptors and proposers with
// messages on their way, connections that stand still or break, crashes between
// the durable writes of a step and logs that lose their end.
package modelcheck
