"""What a node has to do with others: joining, the directory, the roots of its links.

`messages` is what is said, over the channels of `fastmix.tls`; `view` is what a document and the records that it names come to.
"""
