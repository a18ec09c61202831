// Package walls tests what holds for the whole module: which package may import
// which, and what its files look like.
package walls
