// What is under way, in the order of arrival. A Set or Map would do but for the garbage collector: V8 keeps each table that such a
// collection has outgrown until the next full collection, and with it what stood in it, however long ago that has ended.

/** A place in the list. It holds nothing once the item is removed. */
export interface InFlightEntry<T> {
  readonly item: T | null
}

interface Node<T> {
  item: T | null
  previous: Node<T> | null
  next: Node<T> | null
}

export class InFlightList<T> {
  #first: Node<T> | null = null
  #last: Node<T> | null = null
  #size = 0

  get size(): number {
    return this.#size
  }

  add(item: T): InFlightEntry<T> {
    const node: Node<T> = { item, previous: this.#last, next: null }
    if (this.#last === null) this.#first = node
    else this.#last.next = node
    this.#last = node
    this.#size += 1
    return node
  }

  /** Removes an entry of this list. Nothing happens when it was removed before. */
  remove(entry: InFlightEntry<T>): void {
    // Only `add` makes entries.
    const node = entry as Node<T>
    if (node.item === null) return
    if (node.previous === null) this.#first = node.next
    else node.previous.next = node.next
    if (node.next === null) this.#last = node.previous
    else node.next.previous = node.previous
    node.item = null
    node.previous = null
    node.next = null
    this.#size -= 1
  }

  /** The items of this moment. */
  items(): T[] {
    const items: T[] = []
    for (let node = this.#first; node !== null; node = node.next) if (node.item !== null) items.push(node.item)
    return items
  }
}
