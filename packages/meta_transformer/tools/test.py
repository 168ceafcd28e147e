from mmrepro.engine.test import main

if __name__ == "__main__":
    main("meta_transformer")
