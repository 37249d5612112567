"""Signed packages of a bundle and the two slots they are installed in. The only folder that believes a stranger's file.

package.py   the file format: one header, one signed manifest, files end to end; reads, believes nothing unsigned
trust.py     public keys, Ed25519
answers.py   runs the known-answer tiles of a package
files.py     every call that writes to a slot
slots.py     two slots and the one small file that says which is active
install.py   package -> inactive slot -> known answers -> switch
"""
